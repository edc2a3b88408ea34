import { AsyncLocalStorage } from 'node:async_hooks'
import { Metadata, ServerInterceptingCall, type ServiceError, status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogClient, CatalogServer } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { oneByOne, until } from '../../../test/support/shed-server.ts'
import { adviceOf } from '../../core/advice.ts'
import { currentContext } from '../../core/ambient.ts'
import { createContext } from '../../core/context.ts'
import { adaptive, fixed, type Shedder } from '../../shedding/index.ts'
import { client } from './client.ts'
import type { PromiseClient } from './client-types.ts'
import { serverInterceptor } from './server-interceptor.ts'
import { type ShedInterceptorOptions, shedInterceptor } from './shed-interceptor.ts'

const running: RunningCatalog[] = []
afterEach(() => {
  for (const catalog of running.splice(0)) catalog.stop()
})

async function start(
  shedder: Shedder,
  implementation: Partial<CatalogServer>,
  options: ShedInterceptorOptions = {},
): Promise<PromiseClient<CatalogClient> & { readonly running: RunningCatalog }> {
  const catalog = await runCatalog(implementation, {
    server: { interceptors: [shedInterceptor(shedder, options), serverInterceptor()] },
  })
  running.push(catalog)
  return Object.assign(client(catalog.generated), { running: catalog })
}

/** Handlers that answer when told. */
function parked() {
  const waiting: (() => void)[] = []
  const getItem: CatalogServer['getItem'] = (call, done) => {
    waiting.push(() => done(null, { id: call.request.id, name: '' }))
  }
  return { waiting, getItem }
}

const failure = (call: Promise<unknown>): Promise<ServiceError> =>
  call.then(
    () => expect.unreachable(),
    error => error,
  )

describe('a call that is let in', () => {
  test('is served as without it, and is over when it is answered', async () => {
    const shedder = adaptive()
    const catalog = await start(shedder, {
      getItem(call, done) {
        done(null, { id: call.request.id, name: `${currentContext() !== undefined}` })
      },
    })
    expect(await catalog.getItem({ id: 7 })).toEqual({ id: 7, name: 'true' })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })

  test('with streams both ways', async () => {
    const shedder = fixed({ limit: 3 })
    const catalog = await start(shedder, {
      quote(call) {
        call.on('data', ({ id }) => call.write({ id, cents: 100 * id }))
        call.on('end', () => call.end())
      },
      importItems(call, done) {
        let count = 0
        call.on('data', () => count++)
        call.on('end', () => done(null, { count }))
      },
    })
    const prices: unknown[] = []
    for await (const price of catalog.quote([{ id: 1 }, { id: 2 }])) prices.push(price)
    expect(prices).toEqual([
      { id: 1, cents: 100 },
      { id: 2, cents: 200 },
    ])
    expect(await catalog.importItems([1, 2].map(id => ({ id, name: '' })))).toEqual({ count: 2 })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 2 })
  })

  test('holds nothing any more once a stream has sent its head', async () => {
    const shedder = fixed({ limit: 1 })
    const catalog = await start(shedder, {
      listItems(call) {
        call.sendMetadata(new Metadata())
      },
      getItem: (_call, done) => done(null, { id: 1, name: '' }),
    })
    const hungUp = new AbortController()
    let heard = false
    const onHeaders = (): void => {
      heard = true
    }
    const items = failure(catalog.listItems({ count: 9 }, { signal: hungUp.signal, onHeaders }).next())
    await until(() => heard)
    expect(shedder.snapshot().inFlight).toBe(0)
    await catalog.getItem({ id: 1 })
    hungUp.abort()
    await items
  })

  test.each([
    [status.NOT_FOUND, 'ignore'],
    [status.INTERNAL, 'ignore'],
    [status.UNAVAILABLE, 'dropped'],
    [status.RESOURCE_EXHAUSTED, 'dropped'],
    [status.DEADLINE_EXCEEDED, 'dropped'],
  ] as const)('and fails with code %d says %s', async (code, expected) => {
    const shedder = fixed({ limit: 1 })
    const results: string[] = []
    const { settle } = shedder
    shedder.settle = (call, result, now) => {
      results.push(result)
      settle.call(shedder, call, result, now)
    }
    const catalog = await start(shedder, { getItem: (_call, done) => done({ code, details: '' }) })
    expect((await failure(catalog.getItem({ id: 1 }))).code).toBe(code)
    expect(results).toEqual([expected])
  })
})

describe('a call that is refused', () => {
  test('is told to go elsewhere, and reaches nobody', async () => {
    const { waiting, getItem } = parked()
    const catalog = await start(fixed({ limit: 1 }), { getItem })
    const first = catalog.getItem({ id: 1 })
    await until(() => waiting.length === 1)
    const error = await failure(catalog.getItem({ id: 2 }))
    expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'Overloaded' })
    expect(error.metadata.get('x-rejected')).toEqual(['shed'])
    expect(error.metadata.get('grpc-retry-pushback-ms')).toEqual([])
    expect(adviceOf(error)).toEqual({ retry: 'elsewhere' })
    waiting[0]!()
    await first
    expect(waiting.length).toBe(1)
  })

  test('a second time is told never to try again, if it comes from a peer that is trusted', async () => {
    const { waiting, getItem } = parked()
    const catalog = await start(fixed({ limit: 1 }), { getItem }, { trustPeers: true })
    const first = catalog.getItem({ id: 1 })
    await until(() => waiting.length === 1)
    const error = await failure(catalog.getItem({ id: 2 }, createContext({ attempt: 2 })))
    expect(error.metadata.get('grpc-retry-pushback-ms')).toEqual(['-1'])
    expect(error.metadata.get('x-rejected')).toEqual(['shed'])
    waiting[0]!()
    await first
  })

  test('is told of the pressure, as are those that are served meanwhile; before and after nobody is', async () => {
    const { waiting, getItem } = parked()
    const shedder = fixed({ limit: 2 })
    const catalog = await start(shedder, { getItem })
    const told: unknown[] = []
    const onTrailers = (trailers: Metadata): void => {
      told.push(trailers.get('x-pressure')[0])
    }
    const calls = [1, 2].map(id => catalog.getItem({ id }, { onTrailers }))
    await until(() => waiting.length === 2)
    const error = await failure(catalog.getItem({ id: 3 }))
    expect(Number(error.metadata.get('x-pressure')[0])).toBeCloseTo(0.67)
    for (const end of waiting.splice(0)) end()
    await Promise.all(calls)
    const last = catalog.getItem({ id: 4 }, { onTrailers })
    await until(() => waiting.length === 1)
    waiting[0]!()
    await last
    // The second of the first two took the last place.
    expect(told).toEqual([undefined, '0.50', '0.63'])
  })
})

describe('a call that waits', () => {
  test('is begun in its turn, in the context that it came in', async () => {
    const storage = new AsyncLocalStorage<string>()
    const shedder = oneByOne()
    const { waiting, getItem } = parked()
    const seen: unknown[] = []
    const catalog = await runCatalog(
      {
        getItem(call, done) {
          seen.push([call.request.id, storage.getStore()])
          getItem(call, done)
        },
      },
      {
        server: {
          interceptors: [
            // What a tracing library does: it knows the call by its metadata, and has a context for it.
            (_method, call) =>
              new ServerInterceptingCall(call, {
                start: next =>
                  next({
                    onReceiveMetadata: (metadata, proceed) =>
                      storage.run(String(metadata.get('x-trace')[0]), () => proceed(metadata)),
                    onReceiveMessage: (message, proceed) => proceed(message),
                    onReceiveHalfClose: proceed => proceed(),
                    onCancel() {},
                  }),
              }),
            shedInterceptor(shedder),
            (_method, call) => {
              let trace: string | undefined
              return new ServerInterceptingCall(call, {
                start: next =>
                  next({
                    onReceiveMetadata(metadata, proceed) {
                      trace = storage.getStore()
                      proceed(metadata)
                    },
                    onReceiveHalfClose: proceed => storage.run(trace!, proceed),
                  }),
              })
            },
          ],
        },
      },
    )
    running.push(catalog)
    const { getItem: get } = client(catalog.generated)
    const traced = (id: number): Promise<unknown> => {
      const metadata = new Metadata()
      metadata.set('x-trace', `trace ${id}`)
      return get({ id }, { metadata })
    }
    const calls = [traced(1)]
    await until(() => waiting.length === 1)
    calls.push(traced(2), traced(3))
    await until(() => shedder.queued === 2)
    for (let i = 0; i < 3; i++) {
      await until(() => waiting.length === i + 1)
      waiting[i]!()
    }
    expect((await Promise.all(calls)).length).toBe(3)
    expect(seen).toEqual([
      [1, 'trace 1'],
      [2, 'trace 2'],
      [3, 'trace 3'],
    ])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('is not begun once its caller has hung up, or its time is up', async () => {
    const shedder = oneByOne()
    const { waiting, getItem } = parked()
    const catalog = await start(shedder, { getItem })
    const first = catalog.getItem({ id: 1 })
    await until(() => waiting.length === 1)
    const hungUp = new AbortController()
    const calls = [
      failure(catalog.getItem({ id: 2 }, { signal: hungUp.signal })),
      failure(catalog.getItem({ id: 3 }, { timeoutMs: 30 })),
    ]
    await until(() => shedder.queued === 2)
    hungUp.abort()
    await Promise.all(calls)
    // Until the server has heard of it.
    await new Promise(resolve => setTimeout(resolve, 30))
    waiting[0]!()
    await first
    await until(() => shedder.queued === 0)
    expect(waiting.length).toBe(1)
    const { inFlight, refused } = shedder.snapshot()
    expect([inFlight, refused.gone + refused.late]).toEqual([0, 2])
  })
})

test('a caller that hangs up gives its place back', async () => {
  const shedder = fixed({ limit: 1 })
  const { waiting, getItem } = parked()
  const catalog = await start(shedder, { getItem })
  const hungUp = new AbortController()
  const call = failure(catalog.getItem({ id: 1 }, { signal: hungUp.signal }))
  await until(() => waiting.length === 1)
  hungUp.abort()
  await call
  await until(() => shedder.snapshot().inFlight === 0)
  waiting[0]!()
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
})

test('health checks are let through; or what the option says', async () => {
  const { waiting, getItem } = parked()
  const shedder = fixed({ limit: 1 })
  const catalog = await start(
    shedder,
    { getItem, listItems: call => call.end() },
    {
      exempt: ({ method }) => method.name === 'ListItems',
    },
  )
  const first = catalog.getItem({ id: 1 })
  await until(() => waiting.length === 1)
  for await (const _item of catalog.listItems({ count: 1 })) expect.unreachable()
  expect(shedder.snapshot()).toMatchObject({ exempt: 1, admitted: 1 })
  waiting[0]!()
  await first
})

test('what a call is to the shedder', async () => {
  const shedder = adaptive()
  const calls: Parameters<Shedder['offer']>[0][] = []
  const { offer } = shedder
  shedder.offer = (call, ...rest) => {
    calls.push(call)
    return offer.call(shedder, call, ...rest)
  }
  const getItem: CatalogServer['getItem'] = (_call, done) => done(null, { id: 1, name: '' })
  const context = createContext({ criticality: 'sheddable', tenant: 'acme', attempt: 3, timeoutMs: 5_000 })
  await (await start(shedder, { getItem })).getItem({ id: 1 }, context)
  await (await start(shedder, { getItem }, { trustPeers: true })).getItem({ id: 1 }, context)
  expect(calls[0]).toMatchObject({
    route: '/shop.Catalog/GetItem',
    importance: 1,
    tenant: undefined,
    again: false,
  })
  expect(calls[1]).toMatchObject({ importance: 3, tenant: 'acme', again: true })
  expect(calls[1]!.deadline - performance.now()).toBeGreaterThan(2_000)
  expect(calls[1]!.deadline - performance.now()).toBeLessThanOrEqual(5_000)
})

test('what nobody can make sense of is served, and so is what a broken shedder is asked about', async () => {
  const getItem: CatalogServer['getItem'] = (_call, done) => done(null, { id: 1, name: '' })
  const route = (): string => {
    throw new Error('no route')
  }
  expect(await (await start(adaptive(), { getItem }, { route })).getItem({ id: 1 })).toMatchObject({ id: 1 })
  for (const step of ['offer', 'pressure', 'settle'] as const) {
    const broken = adaptive()
    broken[step] = () => {
      throw new Error('broken')
    }
    expect(await (await start(broken, { getItem })).getItem({ id: 1 })).toMatchObject({ id: 1 })
  }
})

test('options are checked', () => {
  expect(() => shedInterceptor({} as Shedder)).toThrow('first argument of shedInterceptor()')
  expect(() => shedInterceptor(adaptive(), { routes: 1 } as object)).toThrow(
    'shedInterceptor has no option `routes`',
  )
})

describe('whatever becomes of calls, nothing is in flight in the end', () => {
  const ways = ['ok', 'later', 'fails', 'never', 'stream', 'open stream'] as const
  const call = fc.record({
    way: fc.constantFrom(...ways),
    timeoutMs: fc.option(fc.integer({ min: 1, max: 12 })),
    hangsUpAfterMs: fc.integer({ min: 0, max: 12 }),
  })
  const implementation: Partial<CatalogServer> = {
    getItem({ request: { id } }, done) {
      const way = ways[id]
      if (way === 'ok') done(null, { id, name: '' })
      else if (way === 'later') setTimeout(() => done(null, { id, name: '' }), 3)
      else if (way === 'fails') done({ code: status.INTERNAL, details: '' })
    },
    listItems(call) {
      call.write({ id: 1, name: '' })
      if (call.request.count === ways.indexOf('stream')) call.end()
    },
  }

  test.each([
    ['one that says at once', () => fixed({ limit: 2 })],
    ['one with a queue', oneByOne],
  ] as const)('%s', async (_name, make) => {
    const shedder: Shedder = make()
    const catalog = await start(shedder, implementation)
    let least = 0
    const { settle } = shedder
    shedder.settle = (call, result, now) => {
      settle.call(shedder, call, result, now)
      least = Math.min(least, shedder.snapshot().inFlight)
    }
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 6 }), async calls => {
        await Promise.all(
          calls.map(async ({ way, timeoutMs, hangsUpAfterMs }) => {
            const hungUp = new AbortController()
            setTimeout(() => hungUp.abort(), hangsUpAfterMs)
            const options = { signal: hungUp.signal, ...(timeoutMs === null ? {} : { timeoutMs }) }
            try {
              if (!way.includes('stream')) await catalog.getItem({ id: ways.indexOf(way) }, options)
              else for await (const _ of catalog.listItems({ count: ways.indexOf(way) }, options));
            } catch {}
          }),
        )
        await until(() => {
          const { inFlight, queued = 0 } = shedder.snapshot() as { inFlight: number; queued?: number }
          return inFlight === 0 && queued === 0
        })
        expect(least).toBe(0)
      }),
      { numRuns: 40 },
    )
  })
})
