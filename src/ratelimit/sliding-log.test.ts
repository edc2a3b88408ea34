import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { slidingLog } from './sliding-log.ts'

describe('slidingLog', () => {
  it('names the very moment at which enough of the oldest grants have left', () => {
    const limiter = slidingLog({ limit: 3, windowMs: 1000 })
    for (const now of [0, 100, 200]) expect(limiter.take('a', 1, now).allowed).toBe(true)
    const waits = [1, 2, 3, 4].map(cost => limiter.peek('a', cost, 250).retryAfterMs)
    expect(waits).toEqual([750, 850, 950, Infinity])
    expect(limiter.peek('a', 1, 999)).toMatchObject({ allowed: false, retryAfterMs: 1 })
    expect(limiter.peek('a', 1, 1000)).toMatchObject({ allowed: true, retryAfterMs: 0 })
    expect(limiter.peek('b', 3, 1000).allowed).toBe(true)
  })

  it('keeps every grant in its place when the ring turns and then grows', () => {
    const limiter = slidingLog({ limit: 5, windowMs: 1000 })
    // Four fill the ring; the fifth takes the place of the first, the sixth makes it grow from the middle.
    for (const now of [0, 10, 20, 30, 1005, 1006]) expect(limiter.take('a', 1, now).allowed).toBe(true)
    expect(limiter.take('a', 1, 1006)).toMatchObject({ allowed: false, retryAfterMs: 4 })
    expect(limiter.take('a', 1, 1010).allowed).toBe(true)
    const waits = [1, 2, 3, 4, 5].map(cost => limiter.peek('a', cost, 1010).retryAfterMs)
    expect(waits).toEqual([10, 20, 995, 996, 1000])
  })

  it('gives back to the grant of that moment, and to no other', () => {
    const limiter = slidingLog({ limit: 5, windowMs: 1000 })
    limiter.take('a', 2, 0)
    limiter.take('a', 3, 500)
    limiter.refund('a', 1, 600, 250)
    expect(limiter.peek('a', 1, 600).retryAfterMs).toBe(400)
    limiter.refund('a', 9, 600, 0)
    expect(limiter.peek('a', 0, 600).remaining).toBe(2)
    expect(limiter.peek('a', 3, 600)).toMatchObject({ retryAfterMs: 900, resetAfterMs: 900 })
    limiter.refund('a', 3, 600, 500)
    expect(limiter.peek('a', 0, 600)).toMatchObject({ remaining: 5, resetAfterMs: 0 })
    limiter.take('a', 5, 700)
    limiter.take('a', 5, 1700)
    limiter.refund('a', 5, 1700, 700)
    expect(limiter.peek('a', 0, 1700).remaining).toBe(0)
  })

  it('lets a debt grow to one more limit, not further', () => {
    const limiter = slidingLog({ limit: 2, windowMs: 1000 })
    limiter.charge('a', 100, 0)
    limiter.charge('a', 100, 0)
    limiter.refund('a', 2, 0, 0)
    expect(limiter.peek('a', 0, 0).remaining).toBe(0)
    limiter.refund('a', 1, 0, 0)
    expect(limiter.peek('a', 0, 0).remaining).toBe(1)
  })

  it('knows how old each grant is when the window changes', async () => {
    const clock = manualClock({ startMs: 0 })
    const limiter = slidingLog({ limit: 1, windowMs: 1000, clock })
    limiter.take('a')
    await clock.advance(400)
    limiter.update({ windowMs: 2000 })
    expect(limiter.peek('a').retryAfterMs).toBe(1600)
    await clock.advance(1599)
    expect(limiter.peek('a').allowed).toBe(false)
    await clock.advance(1)
    expect(limiter.peek('a').allowed).toBe(true)
  })
})
