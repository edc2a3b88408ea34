import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { chain, gate, layer } from './chain.ts'
import { rootContext } from './context.ts'
import type { Handler, Protection } from './handler.ts'
import type { Kind } from './part.ts'

const { NODE_ENV } = process.env
let emitted: MockInstance<typeof process.emitWarning>
beforeEach(() => {
  emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})
afterEach(() => {
  vi.restoreAllMocks()
  process.env.NODE_ENV = NODE_ENV
})

/** What was warned of, as the code and the beginning of the message. */
const warnings = (): readonly string[] =>
  emitted.mock.calls.map(([message, about]) => {
    const { code } = about as unknown as { code: string }
    return `${code} ${message as string}`
  })
const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

let count = 0
/** A name of its own for each part: a warning is given once for each message. */
const part = (kind: Kind): { readonly name: string; readonly part: Protection } => {
  const name = `${kind}-${count++}`
  return { name, part: gate({ kind, name, admit: () => undefined }) }
}
const misused = (wrap: <Q, S>(next: Handler<Q, S>) => Handler<Q, S>, repeats = false) => {
  const name = `layer-${count++}`
  return { name, protection: layer({ kind: 'other', name, repeats }, wrap) }
}

describe('an order that is known to hurt', () => {
  const hurting: readonly (readonly [outer: Kind, inner: Kind, because: string])[] = [
    ['breaker', 'retry', 'one result for a whole series'],
    ['breaker', 'hedge', 'one result for a whole series'],
    ['throttle', 'retry', 'a whole series of attempts as one call'],
    ['balance', 'hedge', 'the endpoint is then chosen once'],
    ['attempt-deadline', 'retry', 'the time of one attempt then bounds all'],
    ['bulkhead', 'retry', 'a place is then held while the retry sleeps'],
    ['bulkhead', 'hedge', 'a place is then held while the retry sleeps'],
    ['retry', 'deadline', 'every attempt then gets the whole time again'],
    ['hedge', 'deadline', 'every attempt then gets the whole time again'],
    ['retry', 'retry', 'their attempts multiply'],
    ['retry', 'hedge', 'their attempts multiply'],
    ['hedge', 'retry', 'a budget that they share counts every call more than once'],
    ['breaker', 'fallback', 'only the successes of the fallback'],
    ['retry', 'cache', 'every waiter of a shared call then retries'],
  ]

  it.each(hurting)('%s outside %s is warned of, with the reason', (outerKind, innerKind, because) => {
    const outer = part(outerKind)
    const inner = part(innerKind)
    chain(outer.part, part('other').part, inner.part)
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toContain(`SPILLWAY_ORDER ${outer.name} stands outside ${inner.name}: `)
    expect(warnings()[0]).toContain(because)
  })

  it('is found across chains, and told once', () => {
    const outer = part('breaker')
    const inner = part('retry')
    const whole = (): Protection => chain(chain(outer.part), chain(inner.part))
    whole()
    whole()
    expect(warnings()).toHaveLength(1)
  })

  it('is no matter in production', () => {
    process.env.NODE_ENV = 'production'
    chain(part('breaker').part, part('retry').part)
    expect(warnings()).toEqual([])
  })

  it('is not seen in the order that the guide recommends', () => {
    const client: readonly Kind[] = [
      'observe',
      'fallback',
      'cache',
      'deadline',
      'retry',
      'attempt-deadline',
      'throttle',
      'rate-limit',
      'balance',
      'breaker',
      'bulkhead',
      'fault',
    ]
    const server: readonly Kind[] = ['deadline', 'shed', 'rate-limit', 'fallback', 'bulkhead']
    for (const kinds of [client, server]) chain(...kinds.map(kind => part(kind).part))
    expect(warnings()).toEqual([])
  })

  it('does not hide what a layer says of itself', () => {
    const name = `hedge-${count++}`
    const warning = 'nothing says which calls may be repeated'
    chain(layer({ kind: 'hedge', name, warning }, next => (request, context) => next(request, context)))
    expect(warnings()).toEqual([`SPILLWAY_ORDER ${name}: ${warning}`])
  })
})

describe('a layer that misuses next', () => {
  const twice = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return async (request, context) => {
      await next(request, context)
      return next(request, context)
    }
  }
  const abandoning = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return async (request, context) => {
      void next(request, context)
      return undefined as S
    }
  }
  const forgetful = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return request => (next as (request: Q) => Promise<S>)(request)
  }
  const slow = async (): Promise<string> => {
    await settle()
    return 'answer'
  }

  it('by calling it twice is warned of once, and does what it does', async () => {
    const { name, protection } = misused(twice)
    const handler = vi.fn(slow)
    const call = chain(protection)(handler)
    expect(await call()).toBe('answer')
    expect(await call()).toBe('answer')
    expect(handler).toHaveBeenCalledTimes(4)
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toContain(`SPILLWAY_NEXT_TWICE ${name} called next() twice`)
  })

  it('by leaving it behind is warned of', async () => {
    const { name, protection } = misused(abandoning)
    expect(await chain(protection)(slow)()).toBeUndefined()
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toContain(`SPILLWAY_NEXT_ABANDONED ${name} answered before`)
  })

  it('by keeping the context to itself is warned of', async () => {
    const { name, protection } = misused(forgetful)
    expect(await chain(protection)(slow)()).toBe('answer')
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toContain(`SPILLWAY_CONTEXT_LOST ${name} called next() without the context`)
  })

  it('is taken at its word when it says that it repeats', async () => {
    for (const wrap of [twice, abandoning]) await chain(misused(wrap, true).protection)(slow)()
    expect(warnings()).toEqual([])
  })

  it('is left alone in production', async () => {
    process.env.NODE_ENV = 'production'
    for (const wrap of [twice, abandoning, forgetful]) await chain(misused(wrap).protection)(slow)()
    expect(warnings()).toEqual([])
  })
})

describe('a layer in order', () => {
  const through = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return (request, context) => next(request, context)
  }
  const careful = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return async (request, context) => {
      try {
        return await next(request, context)
      } finally {
        await settle()
      }
    }
  }
  const refusing = <Q, S>(_next: Handler<Q, S>): Handler<Q, S> => {
    return async () => Promise.reject(new Error('no'))
  }

  it('is not warned of, however the call goes', async () => {
    for (const wrap of [through, careful, refusing]) {
      const { protection } = misused(wrap)
      const outcomes: unknown[] = await Promise.allSettled([
        chain(protection)(async () => 1)(),
        chain(protection)(() => Promise.reject(new Error('failed')))(),
        chain(protection)(() => {
          throw new Error('thrown')
        })(),
        chain(protection)(() => 'a plain value' as never)(),
      ])
      expect(outcomes).toHaveLength(4)
    }
    expect(warnings()).toEqual([])
  })

  it('may stand around a handler that returns a query, which is run once', async () => {
    let runs = 0
    const query = {
      // biome-ignore lint/suspicious/noThenProperty: a query that runs whenever it is awaited, as some drivers have it
      then: (resolve: (rows: string) => void) => {
        runs++
        resolve('rows')
      },
    }
    expect(await chain(misused(careful).protection)((() => query) as never)()).toBe('rows')
    expect(runs).toBe(1)
    expect(warnings()).toEqual([])
  })

  it('may be entered again by a call made within a call', async () => {
    const { protection } = misused(careful)
    const call = chain(protection)(async (depth: number, context): Promise<number> => {
      return depth === 0 ? 0 : 1 + (await call(depth - 1, context)) + (await call(depth - 1, context))
    })
    expect(await call(3, rootContext)).toBe(7)
    expect(warnings()).toEqual([])
  })
})
