import { describe, expect, it } from 'vitest'
import { concurrency } from './concurrency.ts'

describe('concurrency', () => {
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
