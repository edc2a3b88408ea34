import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fixedWindow } from './fixed-window.ts'
import type { Limiter } from './limiter.ts'
import { plans } from './plans.ts'
import { slidingLog } from './sliding-log.ts'
import { tokenBucket } from './token-bucket.ts'

const make = (): Record<'free' | 'pro' | 'max', Limiter> => ({
  free: fixedWindow({ limit: 2, windowMs: 1000, name: 'free' }),
  pro: tokenBucket({ ratePerSecond: 5, burst: 4, name: 'pro' }),
  max: slidingLog({ limit: 9, windowMs: 700, name: 'max' }),
})

const step = fc.record({
  what: fc.constantFrom('take', 'take', 'take', 'peek', 'refund', 'charge', 'block', 'move'),
  dt: fc.constantFrom(0, 0, 1, 50, 200, 699, 700, 1000),
  key: fc.constantFrom('ann', 'bob', '__proto__', ''),
  plan: fc.constantFrom('free', 'pro', 'max', 'constructor', undefined),
  cost: fc.nat(5),
})

describe('plans, whoever moves between them', () => {
  it('decides for each key as the limit of its plan does by itself, and asks no other', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), steps => {
        const planOf = new Map<string, string | undefined>()
        const [{ free, ...limits }, apart] = [make(), make()]
        const limiter = plans({ of: key => planOf.get(key), limits, otherwise: free })
        let now = 0
        for (const { what, dt, key, plan, cost } of steps) {
          now += dt
          const mine = planOf.get(key)
          const alone = mine === 'pro' ? apart.pro : mine === 'max' ? apart.max : apart.free
          if (what === 'take' || what === 'peek') {
            expect(limiter[what](key, cost, now)).toEqual(alone[what](key, cost, now))
          } else if (what === 'move') planOf.set(key, plan)
          else if (what === 'block') for (const each of [limiter, alone]) each.block(key, 100 * cost, now)
          else for (const each of [limiter, alone]) each[what](key, cost, now)
        }
        expect(limiter.snapshot()).toEqual({
          limits: { pro: apart.pro.snapshot(), max: apart.max.snapshot() },
          otherwise: apart.free.snapshot(),
        })
      }),
    )
  })
})
