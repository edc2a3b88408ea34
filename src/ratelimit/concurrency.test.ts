import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concurrency } from './concurrency.ts'

describe('concurrency', () => {
  it('holds exactly what a naive count would let it, key by key', () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', '__proto__'),
      cost: fc.integer({ min: 0, max: 4 }),
      release: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.nat(6), fc.array(step, { maxLength: 100, size: 'max' }), (limit, steps) => {
        const limiter = concurrency({ limit })
        const held = new Map<string, number[]>()
        for (const { key, cost, release } of steps) {
          const mine = held.get(key) ?? []
          held.set(key, mine)
          const sum = mine.reduce((a, b) => a + b, 0)
          if (release) {
            const given = mine.shift()
            if (given !== undefined) limiter.release!(key, given)
            continue
          }
          const decision = limiter.take(key, cost)
          expect(decision.allowed).toBe(limit > 0 && sum + cost <= limit)
          expect(decision.remaining).toBe(limit - sum - (decision.allowed ? cost : 0))
          expect(decision.retryAfterMs).toBe(
            decision.allowed ? 0 : cost > limit || limit === 0 ? Infinity : 1000,
          )
          if (decision.allowed && cost > 0) mine.push(cost)
        }
        const total = [...held.values()].flat().reduce((a, b) => a + b, 0)
        expect(limiter.snapshot().held).toBe(total)
        for (const [key, costs] of held) for (const cost of costs) limiter.release!(key, cost)
        expect(limiter.snapshot()).toMatchObject({ held: 0, keys: 0 })
      }),
    )
  })

  it('lets the keys past its bound share one count, and loses none of it', () => {
    const limiter = concurrency({ limit: 2, maxKeys: 2 })
    limiter.take('a')
    limiter.take('b')
    expect(limiter.take('c').allowed).toBe(true)
    expect(limiter.take('d').allowed).toBe(true)
    expect(limiter.take('e').allowed).toBe(false)
    expect(limiter.snapshot()).toMatchObject({ held: 4, keys: 2, overflowed: 2 })
    limiter.release!('a', 1)
    expect(limiter.take('c').allowed).toBe(true)
    for (const key of ['b', 'c', 'c', 'd']) limiter.release!(key, 1)
    expect(limiter.snapshot()).toMatchObject({ held: 0, keys: 0 })
    limiter.take('x')
    limiter.take('y')
    expect(limiter.peek('z').remaining).toBe(2)
  })

  it('counts nothing below 0, however often a place is given back', () => {
    const limiter = concurrency({ limit: 1 })
    limiter.take('a')
    for (let i = 0; i < 5; i++) limiter.release!('a', 1)
    limiter.take('a')
    expect(limiter.take('a').allowed).toBe(false)
  })

  it('blocks, changes live, and keeps what is held through a reset', () => {
    const limiter = concurrency({ limit: 1 })
    limiter.take('a', 1, 0)
    limiter.reset()
    expect(limiter.take('a', 1, 0).allowed).toBe(false)
    limiter.update({ limit: 2, retryAfterMs: 50 })
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 0)).toMatchObject({ retryAfterMs: 50, resetAfterMs: Infinity })
    expect(() => limiter.update({ limit: 7, retryAfterMs: 0 })).toThrow(/retryAfterMs/)
    expect(limiter.policies()).toEqual([{ name: 'concurrency', quota: 2, windowMs: undefined }])
    limiter.block('b', 100, 0)
    expect(limiter.take('b', 1, 50)).toMatchObject({ allowed: false, retryAfterMs: 50 })
    expect(limiter.take('b', 1, 100).allowed).toBe(true)
    limiter.charge('b', 5, 100)
    expect(limiter.peek('b', 1, 100).remaining).toBe(0)
  })
})
