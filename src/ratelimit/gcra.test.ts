import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { bucketPlan, GcraRule, gcra } from './gcra.ts'

/** One comes back every 100 ms, and three can be had at once. */
const three = () => gcra({ limit: 10, periodMs: 1000, burst: 3 })

describe('gcra', () => {
  it('grants the burst at once, and then one for each interval, to the millisecond', () => {
    const limiter = three()
    expect(limiter.take('a', 3, 0)).toMatchObject({ allowed: true, remaining: 0, resetAfterMs: 300 })
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: false, retryAfterMs: 100, resetAfterMs: 300 })
    expect(limiter.take('a', 1, 99)).toMatchObject({ allowed: false, retryAfterMs: 1, resetAfterMs: 201 })
    expect(limiter.take('a', 1, 100)).toMatchObject({ allowed: true, remaining: 0, resetAfterMs: 300 })
  })

  it('makes a call wait for the whole of its cost, and for ever for one above the burst', () => {
    const limiter = three()
    limiter.take('a', 2, 0)
    expect(limiter.take('a', 3, 0)).toMatchObject({ allowed: false, remaining: 1, retryAfterMs: 200 })
    expect(limiter.peek('a', 3, 199).allowed).toBe(false)
    expect(limiter.peek('a', 3, 200).allowed).toBe(true)
    expect(limiter.take('a', 4, 200)).toMatchObject({ allowed: false, retryAfterMs: Infinity })
  })

  it('has a burst of the limit unless told, and counts what has come back in whole units', () => {
    const limiter = gcra({ limit: 10, periodMs: 1000 })
    expect(limiter.take('a', 10, 0)).toMatchObject({ allowed: true, limit: 10, remaining: 0 })
    expect(limiter.peek('a', 1, 299).remaining).toBe(2)
    expect(limiter.peek('a', 1, 300).remaining).toBe(3)
    expect(limiter.peek('a', 1, 5000).remaining).toBe(10)
    expect(limiter.take('a', 10, 5000).allowed).toBe(true)
    expect(limiter.take('a', 1, 5000)).toMatchObject({ allowed: false, retryAfterMs: 100 })
  })

  it('takes a refund back up to the burst, and a debt up to one more burst', () => {
    const limiter = three()
    limiter.take('a', 3, 0)
    limiter.refund('a', 2, 50)
    expect(limiter.peek('a', 1, 50)).toMatchObject({ remaining: 2, resetAfterMs: 50 })
    limiter.refund('a', 3, 50)
    expect(limiter.peek('a', 1, 50)).toMatchObject({ remaining: 3, resetAfterMs: 0 })
    limiter.charge('a', 100, 50)
    limiter.charge('a', 100, 50)
    expect(limiter.peek('a', 1, 50)).toMatchObject({ remaining: 0, retryAfterMs: 400, resetAfterMs: 600 })
  })

  it('keeps what was taken as taken when the rate changes', () => {
    const limiter = gcra({ limit: 10, periodMs: 1000, burst: 3, clock: manualClock() })
    limiter.take('a', 2)
    limiter.update({ limit: 20 })
    expect(limiter.peek('a')).toMatchObject({ remaining: 1, resetAfterMs: 100 })
  })
})

describe('a bucket', () => {
  it('knows when a cost was due, long ago or not', () => {
    const rule = new GcraRule(100, 3)
    expect(rule.due(Float64Array.of(1000), 0, 1)).toBe(800)
    expect(rule.due(Float64Array.of(1000), 0, 3)).toBe(1000)
  })

  it('is refused if it fills too fast or not within any time', () => {
    expect(bucketPlan(250, 4, 0).windowMs).toBe(1000)
    expect(bucketPlan(1e-4, 1, 0).rule.limit).toBe(1)
    expect(() => bucketPlan(0.9e-4, 1, 0)).toThrow(/a rate up to 10000000 a second/)
    expect(() => bucketPlan(1e9, 1e12, 0)).toThrow(/fills within some thousand years, got/)
    expect(() => bucketPlan(100, 1, 0.00001)).toThrow(/`refillEveryMs` of whole milliseconds/)
  })
})
