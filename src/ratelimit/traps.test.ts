/** What went wrong in other limiters, each named by what happened there. */
import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { gcra } from './gcra.ts'
import { joinKey, keyedBy } from './keyed-by.ts'
import { leakyBucket } from './leaky-bucket.ts'
import type { Limiter } from './limiter.ts'
import { reserve } from './reserve.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'
import { warmUp } from './warm-up.ts'

/** One of each kind, with a limit of 10 in a second. */
const kinds: Record<string, (limit: number) => Limiter> = {
  tokenBucket: burst => tokenBucket({ ratePerSecond: 10, burst }),
  leakyBucket: capacity => leakyBucket({ leakPerSecond: 10, capacity }),
  gcra: burst => gcra({ limit: 10, periodMs: 1000, burst }),
  fixedWindow: limit => fixedWindow({ limit, windowMs: 1000 }),
  slidingWindow: limit => slidingWindow({ limit, windowMs: 1000 }),
  slidingLog: limit => slidingLog({ limit, windowMs: 1000 }),
  warmUp: burst => warmUp({ ratePerSecond: 10, burst, warmUpMs: 1000 }),
  concurrency: limit => concurrency({ limit }),
}
const each = Object.entries(kinds)
/** Those for which ten calls at one instant cost ten: a cold start charges more. */
const flat = each.filter(([name]) => name !== 'warmUp')

describe('numbers', () => {
  it('does not run fast when the clock counts from 1970', () => {
    // As double sums of milliseconds since 1970, 3 million a second came out as 4.1 million.
    const limiter = tokenBucket({ ratePerSecond: 3_000_000, burst: 1 })
    const start = 1_800_000_000_000
    let granted = 0
    for (let us = 0; us < 20_000; us++) {
      for (let i = 0; i < 6; i++) if (limiter.take('a', 1, start + us / 1000).allowed) granted++
    }
    // A reading of the wall clock is only good to a quarter of a microsecond, but errors do not add up.
    expect(granted).toBeGreaterThan(0)
    expect(granted).toBeLessThanOrEqual(60_001)
  })

  it('keeps the edges of buckets that are no whole number of milliseconds', () => {
    // 60 buckets in a second: floor(t / 16.67) drifts.
    const limiter = slidingWindow({ limit: 1, windowMs: 1000, buckets: 60 })
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    const edge = (1000 / 60) * 61
    expect(limiter.peek('a', 1, edge - 0.01).allowed).toBe(false)
    expect(limiter.peek('a', 1, edge).allowed).toBe(true)
  })

  it('reaches a whole token, not 0.9999999 of one', () => {
    const limiter = tokenBucket({ ratePerSecond: 3, burst: 3 })
    expect(limiter.take('a', 3, 0).allowed).toBe(true)
    expect(limiter.peek('a', 3, 999).allowed).toBe(false)
    expect(limiter.peek('a', 3, 1000).allowed).toBe(true)
  })

  it('rounds what remains down, never up', () => {
    const limiter = tokenBucket({ ratePerSecond: 10, burst: 10 })
    limiter.take('a', 10, 0)
    const half = limiter.peek('a', 1, 199)
    expect(half.remaining).toBe(1)
    expect(limiter.take('a', 2, 199).allowed).toBe(false)
  })

  it.each(each)('lets no cost that is not a number poison the count: %s', (_, make) => {
    const limiter = make(10)
    for (const cost of [Number.NaN, -1000, 0.5, Infinity, 'x' as never]) {
      expect(() => limiter.take('a', cost, 0)).toThrow(RangeError)
      expect(() => limiter.charge('a', cost, 0)).toThrow(RangeError)
      expect(() => limiter.refund('a', cost, 0)).toThrow(RangeError)
    }
    expect(limiter.take('a', 10, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 0).allowed).toBe(false)
  })

  it('does not overflow for a long period and a large cost', () => {
    const limiter = tokenBucket({ ratePerSecond: 1 / 86_400, burst: 100_000 })
    expect(limiter.take('a', 100_000, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 0)).toMatchObject({ allowed: false, retryAfterMs: 86_400_000 })
    expect(() => tokenBucket({ ratePerSecond: 1e-9, burst: 1e12 })).toThrow(/fills/)
    expect(() => slidingWindow({ limit: 1e12, windowMs: 1e12 })).toThrow(/limit/)
  })

  it('warms up at a tiny rate, where a slope of Infinity times 0 admitted nothing', () => {
    const limiter = warmUp({ ratePerSecond: 1, burst: 1, warmUpMs: 1000 })
    let granted = 0
    for (let ms = 0; ms <= 60_000; ms += 10) if (limiter.take('a', 1, ms).allowed) granted++
    expect(granted).toBeGreaterThan(55)
  })
})

describe('time', () => {
  it.each(each)('does not fill twice when the clock goes back and forth: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 10, 10_000)
    for (let i = 0; i < 20; i++) {
      expect(limiter.take('a', 1, 5_000).allowed).toBe(false)
      expect(limiter.take('a', 1, 10_000).allowed).toBe(false)
    }
  })

  it.each(each)('still limits after a long idle time: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 1, 0)
    const later = 400 * 86_400_000
    for (let i = 0; i < 20; i++) limiter.take('a', 1, later)
    expect(limiter.take('a', 1, later).allowed).toBe(false)
  })

  it('counts a grant no longer once it is exactly a window old', () => {
    const limiter = slidingLog({ limit: 3, windowMs: 1000 })
    limiter.take('a', 1, 0)
    limiter.take('a', 1, 500)
    expect(limiter.peek('a', 1, 999.999).remaining).toBe(1)
    expect(limiter.peek('a', 1, 1000).remaining).toBe(2)
  })

  it('limits a window longer than a timer can hold', () => {
    const month = 30 * 86_400_000
    const limiter = fixedWindow({ limit: 1, windowMs: month })
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 1).retryAfterMs).toBe(month - 1)
    expect(limiter.take('a', 1, month).allowed).toBe(true)
  })

  it('has no timer, and so none that stays or fires late', () => {
    const clock = manualClock()
    for (const make of Object.values(kinds)) make(10).take('a', 1, clock.now())
    expect(clock.armed).toBe(0)
  })

  it('takes windows below a second, and fractions of one, as they are', () => {
    for (const windowMs of [1, 500, 1500, 0.5]) {
      const limiter = fixedWindow({ limit: 1, windowMs })
      limiter.take('a', 1, 0)
      expect(limiter.peek('a', 1, windowMs / 2).retryAfterMs).toBe(windowMs / 2)
      expect(limiter.peek('a', 1, windowMs).allowed).toBe(true)
    }
  })

  it('does not block a key for long when its limit was lowered', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 1000, clock: manualClock() })
    limiter.take('a', 1000)
    limiter.update({ burst: 5 })
    expect(limiter.peek('a').retryAfterMs).toBeLessThanOrEqual(10_000)
  })
})

describe('state and cost', () => {
  it.each(flat)('takes nothing from a call that is denied for its cost: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 8, 0)
    for (let i = 0; i < 10; i++) expect(limiter.take('a', 3, 0).allowed).toBe(false)
    expect(limiter.take('a', 2, 0).allowed).toBe(true)
  })

  it.each(each)(
    'denies for ever what costs more than the limit, and does not drive the key into debt: %s',
    (_, make) => {
      const limiter = make(10)
      expect(limiter.take('a', 11, 0)).toMatchObject({
        allowed: false,
        retryAfterMs: Infinity,
        remaining: 10,
      })
      expect(limiter.take('a', 1_000_000, 0).allowed).toBe(false)
      expect(limiter.take('a', 10, 0).allowed).toBe(true)
    },
  )

  it.each(each)('denies everything at a limit of 0, which does not mean unlimited: %s', (_, make) => {
    for (const cost of [0, 1]) {
      expect(make(0).take('a', cost, 0)).toMatchObject({ allowed: false, retryAfterMs: Infinity, limit: 0 })
    }
  })

  it.each(each)('grants exactly one at a limit of 1: %s', (_, make) => {
    const limiter = make(1)
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 0).allowed).toBe(false)
  })

  it.each(flat)('asks whether there is enough, not whether there is nothing: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 9, 0)
    expect(limiter.take('a', 2, 0).allowed).toBe(false)
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
  })

  it.each(each.filter(([name]) => name !== 'concurrency'))(
    'stops a debt at one limit, so that no charge locks a key out for months: %s',
    (_, make) => {
      const limiter = make(10)
      for (let i = 0; i < 50; i++) limiter.charge('a', 1_000_000, 0)
      const { retryAfterMs } = limiter.peek('a', 1, 0)
      expect(retryAfterMs).toBeGreaterThan(0)
      // Two limits' worth at the slowest rate of the kinds, which is that of a cold warm-up.
      expect(retryAfterMs).toBeLessThanOrEqual(6_000)
    },
  )

  it.each(flat)('gives nothing back to a key that has all there is: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 5, 0)
    limiter.refund('a', 5, 0, 0)
    for (let i = 0; i < 10; i++) limiter.refund('a', 5, 5_000, 0)
    expect(limiter.take('a', 10, 5_000).allowed).toBe(true)
    expect(limiter.take('a', 1, 5_000).allowed).toBe(false)
  })

  it.each(each)('begins no window by a charge of nothing: %s', (_, make) => {
    const limiter = make(10)
    limiter.charge('a', 0, 0)
    expect(limiter.peek('a', 1, 0)).toMatchObject({ remaining: 10, resetAfterMs: 0 })
  })

  it('ignores a refund of a window that has rolled over', () => {
    for (const name of ['fixedWindow', 'slidingWindow', 'slidingLog']) {
      const limiter = kinds[name]!(10)
      limiter.take('a', 5, 0)
      limiter.take('a', 10, 5_000)
      limiter.refund('a', 5, 5_000, 0)
      expect(limiter.take('a', 1, 5_000).allowed).toBe(false)
    }
  })

  it.each(each)('never has more than the limit after refunds: %s', (_, make) => {
    const limiter = make(10)
    limiter.take('a', 5, 0)
    for (let i = 0; i < 10; i++) limiter.refund('a', 5, 0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(10)
  })

  it('keeps an expensive denial from denying cheap calls', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 10 })
    limiter.take('a', 5, 0)
    expect(limiter.take('a', 8, 0).allowed).toBe(false)
    expect(limiter.take('a', 5, 0).allowed).toBe(true)
  })

  it('charges the limit that is shared for nothing that a caller’s own limit denies', () => {
    const everybody = fixedWindow({ limit: 100, windowMs: 1000, name: 'everybody' })
    const limiter = all(
      fixedWindow({ limit: 1, windowMs: 1000 }),
      keyedBy(everybody, () => ''),
    )
    for (let i = 0; i < 50; i++) limiter.take('greedy', 1, 0)
    expect(everybody.peek('', 1, 0).remaining).toBe(99)
  })

  it('gives back all that is not used, even if others have reserved since', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 10 })
    const first = reserve(limiter, 'a', 5, 0)
    const second = reserve(limiter, 'a', 5, 0)
    first.cancel(0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(5)
    second.settle(2, 0)
    expect(limiter.peek('a', 1, 0).remaining).toBe(8)
  })

  it('lets no other call in between the check and the charge', async () => {
    const limiter = fixedWindow({ limit: 100, windowMs: 60_000 })
    const answers = await Promise.all(Array.from({ length: 2000 }, async () => limiter.take('a')))
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(100)
  })
})

describe('keys', () => {
  it.each(each)('takes the names of an object’s own parts as keys like any other: %s', (_, make) => {
    for (const key of [
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      '',
      '\u0000',
      '🦄',
      '\ud800',
    ]) {
      const limiter = make(1)
      expect(limiter.take(key, 1, 0).allowed).toBe(true)
      expect(limiter.take(key, 1, 0).allowed).toBe(false)
      expect(limiter.take(`${key}x`, 1, 0).allowed).toBe(true)
    }
  })

  it.each(each)('refuses a key that is no string: %s', (_, make) => {
    for (const key of [undefined, null, 7, {}, Symbol('s')] as never[]) {
      expect(() => make(1).take(key, 1, 0)).toThrow(/key/)
    }
  })

  it.each(each)('takes a key of megabytes, and keeps none of it: %s', (_, make) => {
    const limiter = make(1)
    const key = 'x'.repeat(5_000_000)
    expect(limiter.take(key, 1, 0).allowed).toBe(true)
    expect(limiter.take(key, 1, 0).allowed).toBe(false)
  })

  it('joins parts so that no two lists give one key', () => {
    expect(joinKey('a:b', 'c')).not.toBe(joinKey('a', 'b:c'))
    expect(joinKey('a/b', 'c')).not.toBe(joinKey('a', 'b/c'))
    expect(joinKey('a%2Fb')).not.toBe(joinKey('a/b'))
    expect(joinKey('', '')).not.toBe(joinKey(''))
  })

  it('lets nobody flush his own bucket, or use up memory, with a million other keys', () => {
    const limiter = fixedWindow({ limit: 5, windowMs: 60_000, maxKeys: 1000 })
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 5; i++) limiter.take('attacker', 1, 0)
    for (let i = 0; i < 1_000_000; i++) limiter.take(`attacker ${i}`, 1, i / 100_000)
    expect(limiter.take('attacker', 1, 11).allowed).toBe(false)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
    const { allowed, overflowed, keys, maxKeys } = limiter.snapshot() as never as Record<string, number>
    expect(overflowed).toBeGreaterThan(0)
    // Everything together is granted what the rows of their own and the shared rows allow.
    expect(allowed).toBeLessThanOrEqual(5 * (1.4 * maxKeys! + maxKeys! / 64 + 16))
    expect(keys).toBeLessThanOrEqual(1.4 * maxKeys!)
  })

  it('takes in newcomers again when the crowd has gone', () => {
    const limiter = fixedWindow({ limit: 5, windowMs: 1000, maxKeys: 100 })
    for (let i = 0; i < 10_000; i++) limiter.take(`crowd ${i}`, 5, 0)
    for (let i = 0; i < 100; i++) expect(limiter.take(`newcomer ${i}`, 5, 1000).allowed).toBe(true)
  })
})
