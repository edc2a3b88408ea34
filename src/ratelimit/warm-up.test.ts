import { describe, expect, it } from 'vitest'
import type { Limiter } from './limiter.ts'
import { warmUp } from './warm-up.ts'

/** Takes all that it gets from `from` to `to`; how much that is. */
function demand(limiter: Limiter, from: number, to: number): number {
  let granted = 0
  let now = from
  while (now < to) {
    const { allowed, retryAfterMs } = limiter.take('a', 1, now)
    if (allowed) granted++
    else now += retryAfterMs
  }
  return granted
}

describe('warmUp', () => {
  const options = { ratePerSecond: 100, burst: 1, warmUpMs: 10_000, coldFactor: 4 }

  it('begins at the cold rate, and has reached the full rate when it is warm', () => {
    const limiter = warmUp(options)
    expect(demand(limiter, 0, 400)).toBeGreaterThanOrEqual(10)
    expect(demand(limiter, 400, 10_000)).toBeLessThan(960)
    // The mean over a warm-up in which the interval falls evenly: ln(4) / 3 of the full rate.
    const fresh = warmUp(options)
    expect(demand(fresh, 0, 10_000)).toBeCloseTo((1000 * Math.log(4)) / 3, -1)
    expect(demand(fresh, 10_000, 20_000)).toBe(1000)
  })

  it('never falls below the cold rate', () => {
    const limiter = warmUp(options)
    for (let second = 0; second < 10; second++) {
      expect(demand(limiter, second * 1000, (second + 1) * 1000)).toBeGreaterThanOrEqual(25)
    }
  })

  it('cools down while it rests, by as much as it rests', () => {
    const limiter = warmUp(options)
    demand(limiter, 0, 10_000)
    expect(demand(limiter, 15_000, 16_000)).toBeLessThan(60)
    const rested = warmUp(options)
    demand(rested, 0, 10_000)
    const fresh = warmUp(options)
    expect(demand(rested, 20_100, 21_000)).toBe(demand(fresh, 0, 900))
  })

  it('is a plain bucket without a cold factor', () => {
    expect(demand(warmUp({ ...options, coldFactor: 1 }), 0, 10_000)).toBe(1000)
  })

  it('gives back less than was paid cold, and never too much', () => {
    const limiter = warmUp({ ...options, burst: 10 })
    limiter.take('a', 2, 0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(2)
    limiter.refund('a', 2, 0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(4)
  })
})
