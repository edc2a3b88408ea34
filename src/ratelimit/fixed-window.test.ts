import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { fixedWindow, windowUnits } from './fixed-window.ts'

describe('fixedWindow', () => {
  it('begins a window with the first call, and the next with the first call after its end', () => {
    const limiter = fixedWindow({ limit: 2, windowMs: 1000 })
    expect(limiter.take('a', 1, 300)).toMatchObject({ allowed: true, remaining: 1, resetAfterMs: 1000 })
    expect(limiter.take('a', 1, 800)).toMatchObject({ allowed: true, remaining: 0, resetAfterMs: 500 })
    expect(limiter.take('a', 1, 1299)).toMatchObject({ allowed: false, retryAfterMs: 1, resetAfterMs: 1 })
    expect(limiter.peek('a', 1, 1300)).toMatchObject({ allowed: true, remaining: 2, resetAfterMs: 0 })
    expect(limiter.take('a', 2, 1700)).toMatchObject({ allowed: true, remaining: 0, resetAfterMs: 1000 })
  })

  it('begins windows at multiples of their length on the clock, for all keys', () => {
    const limiter = fixedWindow({ limit: 1, windowMs: 1000, anchor: 'clock' })
    expect(limiter.take('a', 1, 5300).resetAfterMs).toBe(700)
    expect(limiter.take('b', 1, 5999)).toMatchObject({ allowed: true, resetAfterMs: 1 })
    expect(limiter.take('a', 1, 5999)).toMatchObject({ allowed: false, retryAfterMs: 1 })
    expect(limiter.take('a', 1, 6000)).toMatchObject({ allowed: true, resetAfterMs: 1000 })
    expect(limiter.take('b', 1, 6000).allowed).toBe(true)
  })

  it('counts costs, all or nothing', () => {
    const limiter = fixedWindow({ limit: 5, windowMs: 1000 })
    limiter.take('a', 3, 0)
    expect(limiter.take('a', 3, 400)).toMatchObject({ allowed: false, remaining: 2, retryAfterMs: 600 })
    expect(limiter.take('a', 2, 400)).toMatchObject({ allowed: true, remaining: 0 })
    expect(limiter.take('a', 6, 400).retryAfterMs).toBe(Infinity)
  })

  it('gives back only to the window that it was taken in', () => {
    const limiter = fixedWindow({ limit: 5, windowMs: 1000 })
    limiter.take('a', 5, 0)
    limiter.refund('a', 2, 500, 0)
    expect(limiter.peek('a', 1, 500)).toMatchObject({ remaining: 2, resetAfterMs: 500 })
    limiter.take('a', 4, 1000)
    limiter.refund('a', 3, 1100, 999)
    expect(limiter.peek('a', 1, 1100).remaining).toBe(1)
    limiter.refund('a', 3, 1100, 1000)
    expect(limiter.peek('a', 1, 1100).remaining).toBe(4)
    limiter.refund('a', 3, 1100, 1000)
    expect(limiter.peek('a', 1, 1100)).toMatchObject({ remaining: 5, resetAfterMs: 0 })
  })

  it('lets a debt end with its window, and keeps it to one limit', () => {
    const limiter = fixedWindow({ limit: 5, windowMs: 1000 })
    limiter.charge('a', 1000, 0)
    limiter.charge('a', 1000, 0)
    limiter.refund('a', 6, 0)
    expect(limiter.peek('a', 1, 0)).toMatchObject({ allowed: true, remaining: 1 })
    limiter.charge('a', 1000, 0)
    expect(limiter.take('a', 5, 1000).allowed).toBe(true)
  })

  it('keeps the count of the open window, and how long it has been open, when it changes', async () => {
    const clock = manualClock()
    const limiter = fixedWindow({ limit: 5, windowMs: 1000, clock })
    limiter.take('a', 3)
    await clock.advance(400)
    limiter.update({ limit: 10, windowMs: 3000 })
    expect(limiter.peek('a')).toMatchObject({ remaining: 7, resetAfterMs: 2600 })
  })
})

describe('windowUnits', () => {
  it('is exact for a fraction of a millisecond, and refuses what no clock could count', () => {
    const { units, perMs } = windowUnits(1000 / 3)
    expect(units * 3).toBe(perMs * 1000)
    for (const windowMs of [0, 0.9e-3, 1.1e13, Number.NaN]) {
      expect(() => windowUnits(windowMs)).toThrow(/`windowMs`/)
    }
  })
})
