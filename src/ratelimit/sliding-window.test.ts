import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { slidingWindow } from './sliding-window.ts'

describe('slidingWindow', () => {
  it('counts the oldest bucket whole until the window has left all of it', () => {
    const limiter = slidingWindow({ limit: 4, windowMs: 1000, buckets: 4 })
    // The first reading is where the first bucket begins.
    limiter.peek('a', 1, 0)
    expect(limiter.take('a', 4, 100)).toMatchObject({ allowed: true, resetAfterMs: 1150 })
    expect(limiter.peek('a', 1, 1000)).toMatchObject({ allowed: false, retryAfterMs: 250 })
    expect(limiter.peek('a', 4, 1249)).toMatchObject({ allowed: false, retryAfterMs: 1 })
    expect(limiter.peek('a', 4, 1250)).toMatchObject({ allowed: true, retryAfterMs: 0 })
  })

  it('counts it by what the window still covers, if asked to', () => {
    const limiter = slidingWindow({ limit: 10, windowMs: 1000, buckets: 1, oldest: 'weighted' })
    limiter.take('a', 10, 0)
    const waits = [1, 5, 10, 11].map(cost => limiter.peek('a', cost, 1000).retryAfterMs)
    expect(waits).toEqual([100, 500, 1000, Infinity])
    expect(limiter.peek('a', 1, 1099)).toMatchObject({ allowed: false, remaining: 0 })
    expect(limiter.take('a', 1, 1100)).toMatchObject({ allowed: true, remaining: 0 })
    expect(limiter.peek('a', 9, 2000)).toMatchObject({ allowed: true, remaining: 9 })
  })

  it('waits for as many buckets as the cost needs', () => {
    const limiter = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2 })
    for (const now of [0, 500, 1000]) expect(limiter.take('a', 1, now).allowed).toBe(true)
    const waits = [1, 2, 3, 4].map(cost => limiter.peek('a', cost, 1000).retryAfterMs)
    expect(waits).toEqual([500, 1000, 1500, Infinity])
    expect(limiter.take('a', 1, 1500)).toMatchObject({ allowed: true, remaining: 0 })
    expect(limiter.peek('a', 1, 1500).retryAfterMs).toBe(500)
  })

  it('empties the buckets that passed without a call before it uses their places again', () => {
    const limiter = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2 })
    limiter.take('a', 1, 0)
    limiter.take('a', 1, 500)
    expect(limiter.take('a', 1, 1999)).toMatchObject({ allowed: true, remaining: 1 })
    expect(limiter.peek('a', 0, 2000).remaining).toBe(2)
  })

  it('gives back to the bucket of that moment while it counts, and never to the one in its place', () => {
    const limiter = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2 })
    limiter.take('a', 3, 0)
    limiter.refund('a', 2, 1499, 0)
    expect(limiter.peek('a', 0, 1499).remaining).toBe(2)
    limiter.refund('a', 9, 1499, 0)
    expect(limiter.peek('a', 0, 1499)).toMatchObject({ remaining: 3, resetAfterMs: 0 })
    const other = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2 })
    other.take('a', 3, 0)
    other.take('a', 1, 1500)
    other.refund('a', 1, 1500, 0)
    expect(other.peek('a', 0, 1500).remaining).toBe(2)
  })

  it('lets a debt grow to one more limit, not further', () => {
    const limiter = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2 })
    limiter.charge('a', 100, 0)
    limiter.charge('a', 100, 0)
    limiter.refund('a', 5, 0, 0)
    expect(limiter.peek('a', 0, 0).remaining).toBe(2)
  })

  it('counts what was in the window as granted now when the buckets change', async () => {
    const clock = manualClock({ startMs: 0 })
    const limiter = slidingWindow({ limit: 3, windowMs: 1000, buckets: 2, clock })
    limiter.take('a', 2)
    await clock.advance(1000)
    limiter.update({ windowMs: 2000 })
    expect(limiter.peek('a', 2)).toMatchObject({ remaining: 1, retryAfterMs: 3000 })
  })
})
