import { describe, expect, it } from 'vitest'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { plans } from './plans.ts'
import { unlimited } from './unlimited.ts'

const window = (limit: number, name: string) => fixedWindow({ limit, windowMs: 1000, name })

function make() {
  const planOf = new Map([
    ['ann', 'pro'],
    ['root', 'staff'],
    ['eve', '__proto__'],
  ])
  const limiter = plans({
    of: key => planOf.get(key),
    limits: { pro: window(10, 'pro'), staff: unlimited() },
    otherwise: window(2, 'free'),
  })
  return { planOf, limiter }
}

describe('plans', () => {
  it('limits each key by its plan, and by the other one if it has none', () => {
    const { limiter } = make()
    expect(limiter.take('ann', 1, 0)).toMatchObject({ policy: 'pro', remaining: 9 })
    expect(limiter.take('root', 1, 0).remaining).toBe(Infinity)
    expect(limiter.take('bob', 1, 0)).toMatchObject({ policy: 'free', remaining: 1 })
    expect(limiter.take('eve', 1, 0)).toMatchObject({ policy: 'free', remaining: 1 })
    expect(limiter.policies().map(({ name }) => name)).toEqual(['pro', 'free'])
  })

  it('lets keys move, and limits change, while it is in use', () => {
    const { planOf, limiter } = make()
    limiter.take('bob', 2, 0)
    planOf.set('bob', 'pro')
    expect(limiter.take('bob', 1, 0)).toMatchObject({ allowed: true, policy: 'pro', remaining: 9 })
    limiter.update({ limits: { pro: window(100, 'pro, bigger') } })
    expect(limiter.take('bob', 1, 0)).toMatchObject({ policy: 'pro, bigger', remaining: 99 })
    expect(limiter.take('root', 1, 0).policy).toBe('free')
    expect(() => limiter.update({ limits: { pro: {} as never } })).toThrow(/'pro'/)
    expect(limiter.take('bob', 1, 0).remaining).toBe(98)
  })

  it('passes everything else on', () => {
    const { limiter } = make()
    limiter.take('ann', 5, 0)
    limiter.refund('ann', 2, 0)
    limiter.charge('ann', 1, 0)
    expect(limiter.peek('ann', 1, 0).remaining).toBe(6)
    limiter.block('ann', 100, 0)
    expect(limiter.peek('ann', 1, 0).allowed).toBe(false)
    expect(limiter.snapshot()).toMatchObject({ limits: { pro: { allowed: 1 } }, otherwise: { allowed: 0 } })
    limiter.reset()
    expect(limiter.peek('ann', 1, 0).remaining).toBe(10)
  })

  it('refuses options that make no sense', () => {
    const free = window(1, 'free')
    expect(() => plans({ of: 'x' as never, limits: {}, otherwise: free })).toThrow(/`of`/)
    expect(() => plans({ of: () => 'x', limits: {} } as never)).toThrow(/'otherwise'/)
    expect(() => plans({ of: () => 'x', limits: {}, otherwise: concurrency({ limit: 1 }) })).toThrow(
      /another plan/,
    )
  })
})
