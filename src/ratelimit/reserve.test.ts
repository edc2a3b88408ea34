import { describe, expect, it } from 'vitest'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { reserve } from './reserve.ts'
import { shadow } from './shadow.ts'
import { tokenBucket } from './token-bucket.ts'

describe('reserve', () => {
  it('gives the rest back, or charges what is missing, once', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 100 })
    const left = () => limiter.peek('a', 1, 0).remaining
    const cheap = reserve(limiter, 'a', 40, 0)
    cheap.settle(10, 0)
    cheap.settle(0, 0)
    cheap.cancel(0)
    expect(left()).toBe(90)
    const dear = reserve(limiter, 'a', 40, 0)
    dear.settle(120, 0)
    expect(left()).toBe(0)
    // It cost 40 more than there was: that is a debt, which the next calls wait for.
    expect(limiter.peek('a', 1, 0).retryAfterMs).toBe(31_000)
  })

  it('does nothing when nothing was granted', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 10 })
    const reservation = reserve(limiter, 'a', 20, 0)
    expect(reservation.decision.allowed).toBe(false)
    reservation.settle(100, 0)
    reservation.cancel(0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(10)
    expect(() => reservation.settle(Number.NaN)).toThrow(/actual/)
  })

  it('gives nothing back to a window that began after the reservation', () => {
    const limiter = fixedWindow({ limit: 10, windowMs: 1000 })
    const reservation = reserve(limiter, 'a', 10, 0)
    limiter.take('a', 10, 1500)
    reservation.settle(1, 1600)
    expect(limiter.peek('a', 1, 1600).remaining).toBe(0)
  })

  it('reads the limiter’s clock when it is told no time', () => {
    const limiter = fixedWindow({ limit: 10, windowMs: 60_000 })
    reserve(limiter, 'a', 10).settle(3)
    expect(limiter.peek('a').remaining).toBe(7)
  })
})

describe('shadow', () => {
  it('grants everything and says what it would have refused', () => {
    const inner = fixedWindow({ limit: 2, windowMs: 1000, name: 'new rule' })
    const limiter = shadow(inner)
    for (let i = 0; i < 2; i++)
      expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: true, shadowed: false })
    expect(limiter.peek('a', 1, 0)).toMatchObject({ allowed: true, shadowed: true })
    expect(limiter.take('a', 1, 0)).toMatchObject({
      allowed: true,
      shadowed: true,
      retryAfterMs: 0,
      remaining: 0,
    })
    expect(limiter.snapshot()).toMatchObject({ shadowed: 1, limit: { allowed: 2, denied: 1 } })
    expect(limiter.take('a', 1, 1000).shadowed).toBe(false)
    limiter.reset()
    expect(limiter.snapshot().shadowed).toBe(0)
  })

  it('watches beside limits that are in force', () => {
    const limiter = all(
      shadow(fixedWindow({ limit: 1, windowMs: 1000, name: 'tried' })),
      fixedWindow({ limit: 2, windowMs: 1000, name: 'in force' }),
    )
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: true, shadowed: false })
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: true, shadowed: true })
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: false, policy: 'in force' })
  })

  it('holds what it lets through, since that will be released', () => {
    const limiter = shadow(concurrency({ limit: 1 }))
    for (let i = 0; i < 3; i++) limiter.take('a', 1, 0)
    limiter.release!('a', 1)
    limiter.release!('a', 1)
    expect(limiter.peek('a', 1, 0).shadowed).toBe(true)
    limiter.release!('a', 1)
    expect(limiter.peek('a', 1, 0).shadowed).toBe(false)
  })

  it('passes settings and corrections on', () => {
    const limiter = shadow(fixedWindow({ limit: 5, windowMs: 1000 }))
    limiter.charge('a', 4, 0)
    limiter.refund('a', 1, 0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(2)
    limiter.block('a', 10, 0)
    expect(limiter.peek('a', 1, 0).shadowed).toBe(true)
    limiter.update({ limit: 9 })
    expect(limiter.policies()[0]!.quota).toBe(9)
  })
})
