/** `clientInterceptor` under generated clients that are called with callbacks. */
import { InterceptingCall, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogClient, CatalogServer, Item } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { withContext } from '../../core/ambient.ts'
import { chain, gate, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { createContext, openContext } from '../../core/context.ts'
import type { Outcome } from '../../core/gate.ts'
import { Rejection } from '../../core/rejection.ts'
import { type ClientInterceptorOptions, clientInterceptor } from './client-interceptor.ts'
import { outgoingCall } from './method.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (
  implementation: Partial<CatalogServer>,
  options: ClientInterceptorOptions = {},
): Promise<CatalogClient> => {
  running = await runCatalog(implementation, { client: { interceptors: [clientInterceptor(options)] } })
  return running.generated
}

const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2))
}

const get = (catalog: CatalogClient, id: number, options: object = {}): Promise<Item> =>
  new Promise((resolve, reject) => {
    catalog.getItem({ id }, new Metadata(), options, (error, item) =>
      error === null ? resolve(item) : reject(error),
    )
  })

const calls = (catalog: CatalogClient): number =>
  (catalog.getChannel() as unknown as { internalChannel: { callCount: number } }).internalChannel.callCount

describe('a unary call', () => {
  test('has the deadline and the words of the ambient context', async () => {
    let left = 0
    let sent: Metadata | undefined
    const catalog = await start({
      getItem(call, done) {
        left = Number(call.getDeadline()) - Date.now()
        sent = call.metadata
        done(null, { id: call.request.id, name: 'x' })
      },
    })
    const context = createContext({ timeoutMs: 5_000, tenant: 'blue' })
    expect(await withContext(context, () => get(catalog, 1))).toEqual({ id: 1, name: 'x' })
    expect(left).toBeGreaterThan(1_000)
    expect(left).toBeLessThanOrEqual(5_000)
    expect(sent?.get('baggage')).toEqual(['tenant=blue'])
    await withContext(context, () => get(catalog, 1, { deadline: Date.now() + 2_000 }))
    expect(left).toBeLessThanOrEqual(2_000)
  })

  test('ends with its context, at both ends', async () => {
    let cancelled = 0
    const catalog = await start({
      getItem(call) {
        call.on('cancelled', () => cancelled++)
      },
    })
    const timedOut = await withContext(createContext({ timeoutMs: 40 }), () => get(catalog, 1)).catch(e => e)
    expect(timedOut.code).toBe(status.DEADLINE_EXCEEDED)
    const byOption = await get(catalog, 1, { deadline: Date.now() + 40 }).catch(e => e)
    expect(byOption.code).toBe(status.DEADLINE_EXCEEDED)
    const { context, cancel } = openContext()
    const answer = withContext(context, () => get(catalog, 1)).catch(e => e)
    setTimeout(cancel, 40)
    expect((await answer).code).toBe(status.CANCELLED)
    await until(() => cancelled === 3)
    expect(systemClock.armed).toBe(0)
  })

  test('can still be cancelled by whoever made it', async () => {
    let cancelled = false
    const catalog = await start({
      getItem(call) {
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    const error = await new Promise<ServiceError | null>(resolve => {
      const call = catalog.getItem({ id: 1 }, resolve)
      setTimeout(() => call.cancel(), 40)
    })
    expect(error).toMatchObject({ code: status.CANCELLED, details: 'Cancelled on client' })
    await until(() => cancelled)
  })

  test('passes errors on as they are, trailers and all', async () => {
    const trailers = new Metadata()
    trailers.set('why', 'because')
    const catalog = await start({
      getItem(_call, done) {
        done({ code: status.NOT_FOUND, details: 'gone', metadata: trailers })
      },
    })
    const error = await get(catalog, 1).catch(error => error)
    expect(error).toMatchObject({ code: status.NOT_FOUND, details: 'gone' })
    expect(error.metadata.get('why')).toEqual(['because'])
  })

  test('that is refused never reaches the channel, which then does not count it for ever', async () => {
    const refusal = new Rejection({ reason: 'breaker-open', policy: 'b', retry: 'later', retryAfterMs: 70 })
    const catalog = await start(
      {},
      { use: chain(gate({ kind: 'breaker', name: 'b', admit: () => refusal })) },
    )
    for (let i = 0; i < 100; i++) {
      const error = await get(catalog, i).catch(error => error)
      expect(error).toMatchObject({ code: status.UNAVAILABLE, details: '[breaker-open] refused by b' })
      expect(error.metadata.get('grpc-retry-pushback-ms')).toEqual(['70'])
    }
    expect(calls(catalog)).toBe(0)
  })

  test('can be changed, repeated and answered by the chain', async () => {
    let attempts = 0
    const catalog = await start(
      {
        getItem(call, done) {
          attempts++
          if (call.request.id === 11) done({ code: status.UNAVAILABLE, details: '' })
          else done(null, { id: call.request.id, name: String(call.metadata.get('token')[0]) })
        },
      },
      {
        use: chain<any, any>(
          layer({ kind: 'fallback', name: 'fallback' }, next => async (request, context) => {
            try {
              return await next(request, context)
            } catch {
              return { id: 0, name: 'fallback' } as any
            }
          }),
          layer(
            { kind: 'retry', name: 'retry', repeats: true },
            next => (request, context) => next(request, context).catch(() => next(request, context)),
          ),
          layer({ kind: 'other', name: 'change' }, next => ({ id }: any, context) => {
            context.get(outgoingCall)?.metadata.set('token', 't')
            return next({ id: id + 10 } as any, context)
          }),
        ),
      },
    )
    expect(await get(catalog, 2)).toEqual({ id: 12, name: 't' })
    expect(attempts).toBe(1)
    expect(await get(catalog, 1)).toEqual({ id: 0, name: 'fallback' })
    expect(attempts).toBe(3)
    expect(calls(catalog)).toBe(0)
  })

  test('settles the gates around it with what became of it', async () => {
    const outcomes: Outcome[] = []
    const catalog = await start(
      {
        getItem(call, done) {
          if (call.request.id === 1) done(null, { id: 1, name: '' })
          else if (call.request.id === 2) done({ code: status.INTERNAL, details: '' })
        },
      },
      {
        use: chain(
          gate({ kind: 'other', name: 'g', admit: () => 0, settle: (_t, outcome) => outcomes.push(outcome) }),
        ),
      },
    )
    await get(catalog, 1)
    await get(catalog, 2).catch(() => {})
    await get(catalog, 3, { deadline: Date.now() + 30 }).catch(() => {})
    await new Promise<void>(resolve => {
      const call = catalog.getItem({ id: 3 }, () => resolve())
      setTimeout(() => call.cancel(), 30)
    })
    expect(outcomes).toEqual(['success', 'failure', 'timeout', 'cancelled'])
  })

  test('stands among other interceptors', async () => {
    running = await runCatalog(
      {
        getItem(call, done) {
          done(null, { id: 1, name: `${call.metadata.get('outer')[0]} ${call.metadata.get('inner')[0]}` })
        },
      },
      {
        client: {
          interceptors: ['outer', 'ours', 'inner'].map(name =>
            name === 'ours'
              ? clientInterceptor()
              : (options, nextCall) =>
                  new InterceptingCall(nextCall(options), {
                    start(metadata, listener, next) {
                      metadata.set(name, name)
                      next(metadata, listener)
                    },
                  }),
          ),
        },
      },
    )
    expect((await get(running.generated, 1)).name).toBe('outer inner')
  })
})

describe('streams', () => {
  test('of each kind go through', async () => {
    const catalog = await start({
      listItems(call) {
        for (let id = 0; id < 3; id++) call.write({ id, name: '' })
        call.end()
      },
      importItems(call, done) {
        let count = 0
        call.on('data', () => count++)
        call.on('end', () => done(null, { count }))
      },
      quote(call) {
        call.on('data', ({ id }) => call.write({ id, cents: id }))
        call.on('end', () => call.end())
      },
    })
    const ids: number[] = []
    for await (const { id } of catalog.listItems({ count: 3 })) ids.push(id)
    expect(ids).toEqual([0, 1, 2])
    const count = await new Promise(resolve => {
      const call = catalog.importItems((_error, summary) => resolve(summary.count))
      for (let id = 0; id < 3; id++) call.write({ id, name: '' })
      call.end()
    })
    expect(count).toBe(3)
    const talk = catalog.quote()
    for (let id = 0; id < 3; id++) talk.write({ id })
    talk.end()
    const cents: number[] = []
    for await (const price of talk) cents.push(price.cents)
    expect(cents).toEqual([0, 1, 2])
  })

  test('are not begun again once something has come', async () => {
    let begun = 0
    const catalog = await start(
      {
        listItems(call) {
          begun++
          if (begun > 1) call.write({ id: begun, name: '' })
          setTimeout(() => call.emit('error', { code: status.UNAVAILABLE, details: `call ${begun}` }), 30)
        },
      },
      {
        use: chain(
          layer({ kind: 'retry', name: 'retry', repeats: true }, next => async (request, context) => {
            for (let i = 0; ; i++) {
              try {
                return await next(request, context)
              } catch (error) {
                if (i === 4) throw error
              }
            }
          }),
        ),
      },
    )
    const ids: number[] = []
    const read = async (): Promise<void> => {
      for await (const { id } of catalog.listItems({ count: 1 })) ids.push(id)
    }
    await expect(read()).rejects.toMatchObject({ code: status.UNAVAILABLE, details: 'call 2' })
    expect([begun, ids]).toEqual([2, [2]])
  })

  test('may be answered by the chain', async () => {
    const catalog = await start(
      {
        listItems(call) {
          call.emit('error', { code: status.UNAVAILABLE, details: '' })
        },
      },
      {
        use: chain<any, any>(
          layer(
            { kind: 'fallback', name: 'fallback' },
            next => (request, context) =>
              next(request, context).catch(() => [{ id: 7, name: 'cached' }] as any),
          ),
        ),
      },
    )
    const items: Item[] = []
    for await (const item of catalog.listItems({ count: 1 })) items.push(item)
    expect(items).toEqual([{ id: 7, name: 'cached' }])
  })

  test('from the chain can be cancelled too', async () => {
    let stopped = false
    async function* endless(): AsyncGenerator<Item> {
      try {
        for (let id = 0; ; id++) yield { id, name: '' }
      } finally {
        stopped = true
      }
    }
    const catalog = await start(
      {},
      {
        use: chain<any, any>(
          layer({ kind: 'fallback', name: 'endless' }, () => async () => endless() as any),
        ),
      },
    )
    const items = catalog.listItems({ count: 1 })
    const failed = new Promise<ServiceError>(resolve => items.once('error', resolve as never))
    items.once('data', () => items.cancel())
    expect(await failed).toMatchObject({ code: status.CANCELLED })
    await until(() => stopped)
  })

  test('that are left are cancelled', async () => {
    let cancelled = false
    const catalog = await start({
      listItems(call) {
        call.write({ id: 1, name: '' })
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    const items = catalog.listItems({ count: 1 })
    items.on('error', () => {})
    items.once('data', () => items.cancel())
    await until(() => cancelled)
    await until(() => calls(catalog) === 0)
  })
})

test('what is wrong with the options is said at once', () => {
  expect(() => clientInterceptor({ uses: 1 } as never)).toThrow(/no option `uses`/)
  expect(() => clientInterceptor({ use: 1 } as never)).toThrow(/`use` to be a function/)
})
