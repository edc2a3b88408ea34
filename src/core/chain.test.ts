import { expect, describe as group, it, vi } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { chain, describe, gate, layer } from './chain.ts'
import { createContext, rootContext } from './context.ts'
import type { Handler, Protection } from './handler.ts'

function noting(log: string[], name: string): Protection {
  return gate({
    kind: 'other',
    name,
    admit: () => {
      log.push(`${name} in`)
    },
    settle: () => {
      log.push(`${name} out`)
    },
  })
}

function notingLayer(log: string[], name: string): Protection {
  const wrap = <Q, S>(next: Handler<Q, S>): Handler<Q, S> => {
    return async (request, context) => {
      log.push(`${name} in`)
      try {
        return await next(request, context)
      } finally {
        log.push(`${name} out`)
      }
    }
  }
  return layer({ kind: 'other', name }, wrap)
}

group('chain', () => {
  it('puts the first outermost, gates and layers alike', async () => {
    const log: string[] = []
    const call = chain(
      noting(log, 'a'),
      notingLayer(log, 'b'),
      noting(log, 'c'),
      noting(log, 'd'),
    )(async (x: number) => {
      log.push('handler')
      return x * 2
    })
    expect(await call(21)).toBe(42)
    expect(log).toEqual(['a in', 'b in', 'c in', 'd in', 'handler', 'd out', 'c out', 'b out', 'a out'])
  })

  it('of nothing is the handler itself', async () => {
    expect(await chain()(async (x: number) => x)(3)).toBe(3)
    expect(describe(chain())).toEqual([])
  })

  it('reads the clock once on the way in and once on the way out, however many gates it has', async () => {
    const clock = manualClock()
    const now = vi.spyOn(clock, 'now')
    const log: string[] = []
    const five = chain(noting(log, 'a'), chain(noting(log, 'b'), chain(noting(log, 'c'))), noting(log, 'd'))
    await five(async () => 1)(undefined, createContext({ clock }))
    expect(now).toHaveBeenCalledTimes(2)
    expect(log).toHaveLength(8)
  })

  it('may be used for many handlers, and each handler for many calls at once', async () => {
    const log: string[] = []
    const protect = chain(noting(log, 'a'))
    const one = protect(async (x: number) => x + 1)
    const two = protect(async (x: string) => `${x}!`)
    expect(await Promise.all([one(1), two('a'), one(2)])).toEqual([2, 'a!', 3])
    expect(log.filter(line => line === 'a in')).toHaveLength(3)
  })

  it('gives a call that came without a context one without a deadline', async () => {
    const seen = vi.fn(async (_request: unknown, context: unknown) => context)
    expect(await chain(noting([], 'a'))(seen)()).toBe(rootContext)
    expect(await chain(notingLayer([], 'a'))(async (_request, { deadline }) => deadline)()).toBe(Infinity)
  })

  it('refuses what is no middleware, when it is made', () => {
    expect(() => chain(noting([], 'a'), undefined as never)).toThrow(
      'Expected every argument of chain() to be a middleware, got undefined',
    )
    expect(() => chain({} as never)).toThrow('got [object Object]')
  })

  it('refuses a layer that returns no handler, when it wraps one', () => {
    const forgetful = layer({ kind: 'other', name: 'forgetful' }, (() => undefined) as never)
    expect(() => forgetful(async () => 1)).toThrow('Expected forgetful to return a handler, got undefined')
    const byHand = (): void => {}
    expect(() => chain(byHand as never)(async () => 1)).toThrow('Expected byHand to return a handler')
  })

  it('rejects, and never throws, whatever throws in it', async () => {
    const throwing = (): Promise<never> => {
      throw new Error('thrown')
    }
    const bare = layer({ kind: 'other', name: 'bare' }, () => throwing)
    for (const protection of [chain(), chain(noting([], 'a')), chain(notingLayer([], 'a')), bare]) {
      await expect(protection(throwing)()).rejects.toThrow('thrown')
    }
  })

  it('knows a function written by hand by its name, and one without a name as a middleware', async () => {
    function audit<Q, S>(next: Handler<Q, S>): Handler<Q, S> {
      return (request, context) => next(request, context)
    }
    const whole = chain(noting([], 'a'), audit, next => (request, context) => next(request, context))
    expect(describe(whole)).toEqual([
      { kind: 'other', name: 'a' },
      { kind: 'other', name: 'audit' },
      { kind: 'other', name: 'middleware' },
    ])
    expect(await whole(async () => 1)()).toBe(1)
  })

  it('wraps a handler anew with each layer, once for each handler and not for each call', async () => {
    const wrap = vi.fn((next: Handler) => next)
    const call = chain(layer({ kind: 'other', name: 'once' }, wrap as never))(async () => 1)
    await call()
    await call()
    expect(wrap).toHaveBeenCalledOnce()
  })
})

group('gate and layer', () => {
  const about = { kind: 'other', name: 'x' } as const

  it('check what they are made of', () => {
    expect(() => gate({ ...about, name: '', admit: () => 1 })).toThrow('Expected `name`')
    expect(() => gate(about as never)).toThrow('Expected `admit` to be a function, got undefined')
    expect(() => gate({ ...about, admit: () => 1, until: 'end' as never })).toThrow('Expected `until`')
    expect(() => layer({ ...about, name: '' }, next => next)).toThrow('Expected `name`')
    expect(() => layer(about, undefined as never)).toThrow('Expected `wrap` to be a function, got undefined')
  })

  it('refuse a gate that is async: its refusals would let every call in', () => {
    const refused = 'of x not to be async: what has to wait is a layer'
    expect(() => gate({ ...about, admit: async () => 1 })).toThrow(`Expected \`admit\` ${refused}`)
    expect(() => gate({ ...about, admit: () => 1, settle: async () => {} })).toThrow(
      `Expected \`settle\` ${refused}`,
    )
  })
})
