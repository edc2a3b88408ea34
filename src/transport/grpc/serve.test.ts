import { Metadata, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { CatalogClient, CatalogServer } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { currentContext } from '../../core/ambient.ts'
import { addAnswerField, markDegraded } from '../../core/answer-fields.ts'
import { chain, gate, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { type Context, createContext } from '../../core/context.ts'
import { Rejection } from '../../core/rejection.ts'
import { client } from './client.ts'
import type { PromiseClient } from './client-types.ts'
import { incomingCall } from './method.ts'
import { type ServeOptions, serve } from './serve.ts'
import type { Implementation } from './server-types.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (
  implementation: Partial<Implementation<CatalogServer>>,
  options: ServeOptions<CatalogServer> = {},
): Promise<PromiseClient<CatalogClient>> => {
  running = await runCatalog(serve<CatalogServer>(implementation as Implementation<CatalogServer>, options))
  return client(running.generated)
}

const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2))
}

const refuse = (rejection: Rejection) => gate({ kind: 'shed', name: 'refuse', admit: () => rejection })

describe('the context of a handler', () => {
  test('has what is left of the time, and knows the call', async () => {
    let seen: Context | undefined
    const catalog = await start({
      getItem({ id }, context) {
        seen = context
        return { id, name: '' }
      },
    })
    await catalog.getItem({ id: 1 }, createContext({ timeoutMs: 5_000 }))
    expect(seen?.deadline).toBeLessThanOrEqual(systemClock.now() + 5_000)
    expect(seen?.deadline).toBeGreaterThan(systemClock.now() + 1_000)
    expect(seen?.caller).toBe('127.0.0.1')
    expect(seen?.get(incomingCall)).toMatchObject({
      method: { path: '/shop.Catalog/GetItem', service: 'shop.Catalog', name: 'GetItem' },
    })
    expect(seen?.get(incomingCall)?.peer).toMatch(/^127\.0\.0\.1:\d+$/)
    await catalog.getItem({ id: 1 })
    expect(seen?.deadline).toBe(Infinity)
  })

  test('is never longer than the listener allows', async () => {
    const remaining: number[] = []
    const catalog = await start(
      {
        getItem({ id }, { remainingMs }) {
          remaining.push(remainingMs)
          return { id, name: '' }
        },
      },
      { timeoutMs: 300 },
    )
    await catalog.getItem({ id: 1 })
    await catalog.getItem({ id: 1 }, createContext({ timeoutMs: 5_000 }))
    await catalog.getItem({ id: 1 }, createContext({ timeoutMs: 200 }))
    expect(remaining.every(ms => ms <= 300)).toBe(true)
    expect(remaining[2]).toBeLessThanOrEqual(200)
  })

  test.each([
    [false, ['critical', undefined, 1]],
    [true, ['sheddable', 'blue', 3]],
  ])('with trustPeers: %s believes %o', async (trustPeers, expected) => {
    let seen: unknown
    const catalog = await start(
      {
        getItem({ id }, { criticality, tenant, attempt }) {
          seen = [criticality, tenant, attempt]
          return { id, name: '' }
        },
      },
      { trustPeers },
    )
    await catalog.getItem({ id: 1 }, createContext({ criticality: 'sheddable', tenant: 'blue', attempt: 3 }))
    expect(seen).toEqual(expected)
  })

  test('is the current one, through every await and in every message of a stream', async () => {
    const seen: boolean[] = []
    const note = (context: Context): void => {
      seen.push(currentContext() === context)
    }
    const catalog = await start({
      async getItem({ id }, context) {
        note(context)
        await new Promise(resolve => setTimeout(resolve, 1))
        note(context)
        return { id, name: '' }
      },
      async *quote(requests, context) {
        for await (const { id } of requests) {
          note(context)
          yield { id, cents: 1 }
        }
      },
    })
    await catalog.getItem({ id: 1 })
    for await (const _ of catalog.quote([{ id: 1 }, { id: 2 }]));
    expect(seen).toEqual([true, true, true, true])
    expect(currentContext()).toBeUndefined()
  })

  test('is not, if the listener was told to do without', async () => {
    let seen: Context | undefined
    const catalog = await start(
      {
        getItem({ id }) {
          seen = currentContext()
          return { id, name: '' }
        },
      },
      { ambient: false },
    )
    await catalog.getItem({ id: 1 })
    expect(seen).toBeUndefined()
  })

  test('ends when the caller hangs up, and not when the call was answered', async () => {
    const contexts: Context[] = []
    const catalog = await start({
      async getItem({ id }, context) {
        contexts.push(context)
        if (id === 2) await new Promise(resolve => context.signal.addEventListener('abort', resolve))
        return { id, name: '' }
      },
    })
    await catalog.getItem({ id: 1 })
    const controller = new AbortController()
    const second = catalog.getItem({ id: 2 }, { signal: controller.signal }).catch(() => {})
    await until(() => contexts.length === 2)
    controller.abort()
    await second
    await until(() => contexts[1]!.ended)
    expect(contexts[1]!.scope.ending).toBe('cancelled')
    expect(contexts[0]!.ended).toBe(false)
  })

  test('that hears of its deadline from grpc-js ends as one whose time ran out', async () => {
    let context: Context | undefined
    await start({
      async getItem(_request, given) {
        context = given
        await new Promise(() => {})
        return { id: 1, name: '' }
      },
    })
    // From a client that says how long it has and then waits all the same, or it might be the first to end the call.
    const metadata = new Metadata()
    metadata.set('grpc-timeout', '40m')
    await new Promise<void>(resolve => {
      running!.generated.getItem({ id: 1 }, metadata, () => resolve())
    })
    await until(() => context?.scope.ending !== undefined)
    expect(context?.scope.ending).toBe('timeout')
  })
})

describe('an answer', () => {
  test('may be a value, a promise, or none of both', async () => {
    const catalog = await start({
      getItem: ({ id }) => ({ id, name: 'value' }),
      importItems: async () => ({ count: 3 }),
    })
    expect((await catalog.getItem({ id: 1 })).name).toBe('value')
    expect((await catalog.importItems([])).count).toBe(3)
  })

  test('comes with the fields that the parts of a chain add, refused or not', async () => {
    const note = layer({ kind: 'other', name: 'note' }, next => (request, context) => {
      addAnswerField(context, 'RateLimit', '"a";r=1')
      return next(request, context)
    })
    const catalog = await start(
      {
        getItem({ id }, context) {
          markDegraded(context, 'reviews')
          context.get(incomingCall)?.trailers.set('own', 'trailer')
          addAnswerField(context, 'no name', '1')
          addAnswerField(context, 'x-name', 'Zoë')
          if (id === 2) throw { code: status.NOT_FOUND, details: 'none' }
          return { id, name: '' }
        },
        *listItems(_request, context) {
          markDegraded(context, 'ads')
          yield { id: 1, name: '' }
        },
      },
      { use: chain(note) },
    )
    const trailers: unknown[] = []
    const onTrailers = (metadata: Metadata): void => {
      trailers.push(['x-degraded', 'ratelimit', 'own', 'x-name'].map(name => metadata.get(name)[0]))
    }
    await catalog.getItem({ id: 1 }, { onTrailers })
    await catalog.getItem({ id: 2 }, { onTrailers }).catch(() => {})
    for await (const _ of catalog.listItems({ count: 1 }, { onTrailers }));
    expect(trailers).toEqual([
      ['reviews', '"a";r=1', 'trailer', 'Zo?'],
      ['reviews', '"a";r=1', 'trailer', 'Zo?'],
      ['ads', '"a";r=1', undefined, undefined],
    ])
  })

  test('may be preceded by metadata', async () => {
    const catalog = await start({
      getItem({ id }, context) {
        const headers = new Metadata()
        headers.set('served-by', 'a')
        context.get(incomingCall)?.sendMetadata(headers)
        return { id, name: '' }
      },
    })
    let servedBy: unknown
    await catalog.getItem({ id: 1 }, { onHeaders: headers => (servedBy = headers.get('served-by')[0]) })
    expect(servedBy).toBe('a')
  })
})

describe('a failure', () => {
  test.each([
    ['shed', 'elsewhere', status.UNAVAILABLE, { 'x-rejected': ['shed'] }],
    ['rate-limited', 'later', status.RESOURCE_EXHAUSTED, { 'grpc-retry-pushback-ms': ['50'] }],
    ['breaker-open', 'never', status.UNAVAILABLE, { 'grpc-retry-pushback-ms': ['-1'] }],
  ] as const)('of the chain, %s and %s, is a status with trailers', async (reason, retry, code, trailers) => {
    const rejection = new Rejection({
      reason,
      policy: 'p',
      retry,
      ...(retry === 'later' ? { retryAfterMs: 50 } : {}),
    })
    const handler = vi.fn<() => never>()
    const catalog = await start({ getItem: handler }, { use: chain(refuse(rejection)) })
    const error = await catalog.getItem({ id: 1 }).catch(error => error)
    expect(error.code).toBe(code)
    expect(error.metadata.toJSON()).toMatchObject(trailers)
    expect(handler).not.toHaveBeenCalled()
  })

  test('of the chain around one method concerns that method', async () => {
    const rejection = new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' })
    const catalog = await start(
      { getItem: ({ id }) => ({ id, name: '' }), importItems: () => ({ count: 0 }) },
      { methods: { importItems: chain(refuse(rejection)) } },
    )
    await catalog.getItem({ id: 1 })
    await expect(catalog.importItems([])).rejects.toMatchObject({ code: status.UNAVAILABLE })
  })

  test('that says nothing to a caller is told to the owner, and only to him', async () => {
    const told: unknown[] = []
    const secret = new Error('the password is hunter2')
    const catalog = await start(
      {
        getItem() {
          throw secret
        },
        // biome-ignore lint/correctness/useYield: it fails before it comes to that
        async *listItems() {
          throw secret
        },
      },
      { onError: (error, context) => told.push(error, context.get(incomingCall)?.method.name) },
    )
    const unary = await catalog.getItem({ id: 1 }).catch(error => error)
    expect(unary.code).toBe(status.UNKNOWN)
    expect(`${unary.details} ${JSON.stringify(unary.metadata.toJSON())}`).not.toContain('hunter2')
    const streamed = await catalog
      .listItems({ count: 1 })
      .next()
      .catch(error => error)
    expect(streamed.code).toBe(status.UNKNOWN)
    expect(told).toEqual([secret, 'GetItem', secret, 'ListItems'])
  })

  test('is printed unless somebody wants to be told', async () => {
    const print = vi.spyOn(console, 'error').mockImplementation(() => {})
    try {
      const catalog = await start({
        getItem: () => Promise.reject(new Error('printed')),
      })
      await catalog.getItem({ id: 1 }).catch(() => {})
      expect(print).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'printed' }))
    } finally {
      print.mockRestore()
    }
  })
})

describe('what serve is given', () => {
  let catalog: PromiseClient<CatalogClient>
  class Catalog {
    private readonly name = 'of a class'
    getItem({ id }: { id: number }): { id: number; name: string } {
      return { id, name: this.name }
    }
  }
  beforeEach(async () => {
    catalog = await start(new Catalog() as Partial<Implementation<CatalogServer>>)
  })

  test('may be an instance of a class', async () => {
    expect((await catalog.getItem({ id: 1 })).name).toBe('of a class')
  })

  test('need not have every method', async () => {
    await expect(catalog.importItems([])).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
  })

  test.each([
    ['an option that does not exist', { timeout: 5 }, /serve has no option `timeout`/],
    ['a time that is none', { timeoutMs: 0 }, /Expected `timeoutMs` to be a number above 0, got 0/],
    ['a chain that is none', { use: {} }, /Expected `use` to be a function/],
    [
      'a method that does not exist',
      { methods: { getItme: chain() } },
      /no method `getItme`; it has getItem/,
    ],
  ])('has %s', (_what, options, message) => {
    expect(() => serve(new Catalog() as never, options as never)).toThrow(message)
  })
})

test('thousands of calls leave no alarm behind', async () => {
  const catalog = await start({ getItem: ({ id }) => ({ id, name: '' }) }, { timeoutMs: 60_000 })
  const context = createContext({ timeoutMs: 30_000 })
  for (let i = 0; i < 40; i++) {
    await Promise.all(Array.from({ length: 50 }, (_, id) => catalog.getItem({ id }, context)))
  }
  expect(systemClock.armed).toBe(0)
})
