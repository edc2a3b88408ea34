import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { type SettingsChange, settingsChanged } from '../core/settings.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { fixedWindow } from './fixed-window.ts'
import type { Limiter } from './limiter.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'
import { unlimited } from './unlimited.ts'
import { warmUp } from './warm-up.ts'

describe('a decision', () => {
  it('says what is left, how long to wait, and when all is back', () => {
    const limiter = tokenBucket({ ratePerSecond: 10, burst: 3, name: 'api' })
    expect(limiter.take('a', 1, 0)).toEqual({
      allowed: true,
      limit: 3,
      remaining: 2,
      retryAfterMs: 0,
      resetAfterMs: 100,
      policy: 'api',
      source: 'local',
      shadowed: false,
      parts: undefined,
    })
    limiter.take('a', 2, 0)
    expect(limiter.take('a', 2, 0)).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterMs: 200,
      resetAfterMs: 300,
    })
  })

  it('reads the clock that it was given when no time is', async () => {
    const clock = manualClock()
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 1, clock })
    expect(limiter.take('a').allowed).toBe(true)
    expect(limiter.take('a').allowed).toBe(false)
    await clock.advance(1000)
    expect(limiter.take('a').allowed).toBe(true)
  })
})

describe('the defaults', () => {
  it('are one second’s worth for buckets', () => {
    expect(tokenBucket({ ratePerSecond: 2.5 }).peek('a').limit).toBe(3)
    expect(warmUp({ ratePerSecond: 7, warmUpMs: 100 }).peek('a').limit).toBe(7)
  })
})

describe('bad options', () => {
  it.each([
    [() => tokenBucket({ ratePerSecond: 0 }), /`ratePerSecond` to be a number above 0, got 0/],
    [() => tokenBucket({ ratePerSecond: Number.NaN }), /ratePerSecond/],
    [() => tokenBucket({ ratePerSecond: 1e9 }), /rate up to 10000000 a second/],
    [() => tokenBucket({ ratePerSecond: 1, burst: -1 }), /`burst`/],
    [() => tokenBucket({ ratePerSecond: 1, burst: 1.5 }), /`burst` to be a whole number/],
    [() => tokenBucket({ ratePerSecond: 1, brust: 1 } as never), /no option `brust`/],
    [() => tokenBucket({ ratePerSecond: 1, maxKeys: 0 }), /`maxKeys`/],
    [() => tokenBucket({ ratePerSecond: 1, name: '' }), /`name`/],
    [() => fixedWindow({ limit: 1, windowMs: 0 }), /`windowMs`/],
    [() => fixedWindow({ limit: Infinity, windowMs: 1 }), /`limit`/],
    [() => fixedWindow({ limit: 1, windowMs: 1, anchor: 'x' as never }), /`anchor`/],
    [() => slidingWindow({ limit: 1, windowMs: 1, buckets: 0 }), /`buckets`/],
    [() => slidingWindow({ limit: 1, windowMs: 1, oldest: 'x' as never }), /`oldest`/],
    [() => slidingLog({ limit: 1e9, windowMs: 1 }), /`limit`/],
    [() => warmUp({ ratePerSecond: 1, warmUpMs: 0 }), /`warmUpMs`/],
    [() => warmUp({ ratePerSecond: 1e-6, warmUpMs: 1e9, coldFactor: 100 }), /extreme/],
  ])('are refused with a word about which: %#', (make, message) => {
    expect(make).toThrow(message)
  })
})

describe('block', () => {
  it('denies everything to a key, and to no other, until it ends', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 5 })
    limiter.block('a', 1000, 0)
    expect(limiter.take('a', 1, 0)).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterMs: 1000,
      resetAfterMs: 1000,
    })
    expect(limiter.take('a', 0, 0).allowed).toBe(false)
    expect(limiter.take('b', 1, 0).allowed).toBe(true)
    expect(limiter.take('a', 1, 999.999).allowed).toBe(false)
    expect(limiter.take('a', 5, 1000).allowed).toBe(true)
  })

  it('ends early, or never', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 5 })
    limiter.block('a', Infinity, 0)
    expect(limiter.take('a', 1, 1e9)).toMatchObject({ allowed: false, retryAfterMs: Infinity })
    limiter.block('a', 0, 1e9)
    expect(limiter.take('a', 1, 1e9).allowed).toBe(true)
    limiter.block('nobody', 0, 1e9)
    expect(limiter.snapshot().blocked).toBe(1)
    expect(() => limiter.block('a', -1)).toThrow(/forMs/)
    expect(() => limiter.block('a', Number.NaN)).toThrow(/forMs/)
  })

  it('stays within its memory: past as many as there are keys, those that end first give way', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 5, maxKeys: 10 })
    for (let i = 0; i < 5000; i++) limiter.block(`k${i}`, 1000 + i, 0)
    let held = 0
    for (let i = 0; i < 5000; i++) if (!limiter.peek(`k${i}`, 1, 0).allowed) held++
    expect(held).toBeGreaterThanOrEqual(10)
    expect(held).toBeLessThan(40)
    expect(limiter.peek('k4999', 1, 0).allowed).toBe(false)
  })
})

describe('update', () => {
  it('changes all options or none', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 5 })
    expect(() => limiter.update({ ratePerSecond: 2, burst: -1 })).toThrow(/burst/)
    expect(() => limiter.update({ maxKeys: 7 })).toThrow(/no option `maxKeys`/)
    expect(limiter.snapshot().settings).toEqual({ ratePerSecond: 1, burst: 5 })
    const heard: SettingsChange[] = []
    const stop = settingsChanged.on(change => heard.push(change))
    limiter.update({ burst: 7, ratePerSecond: undefined as never })
    stop()
    expect(heard).toEqual([{ kind: 'token-bucket', name: 'token-bucket', changed: { burst: 7 } }])
    expect(limiter.snapshot().settings).toEqual({ ratePerSecond: 1, burst: 7 })
    expect(limiter.policies()).toEqual([{ name: 'token-bucket', quota: 7, windowMs: 7000 }])
  })

  it('keeps what has been taken: of a bucket the tokens, of a window the count', () => {
    const clock = manualClock()
    const cases: [Limiter, object][] = [
      [tokenBucket({ ratePerSecond: 1, burst: 10, clock }), { ratePerSecond: 3, burst: 20 }],
      [fixedWindow({ limit: 10, windowMs: 1000, clock }), { limit: 20, windowMs: 3000 }],
      [fixedWindow({ limit: 10, windowMs: 1000, anchor: 'clock', clock }), { limit: 20, windowMs: 700 }],
      [slidingWindow({ limit: 10, windowMs: 1000, clock }), { limit: 20, windowMs: 700 }],
      [slidingLog({ limit: 10, windowMs: 1000, clock }), { limit: 20, windowMs: 700 }],
      [
        warmUp({ ratePerSecond: 1, burst: 10, warmUpMs: 1000, coldFactor: 1, clock }),
        { ratePerSecond: 3, burst: 20 },
      ],
    ]
    for (const [limiter, change] of cases) {
      limiter.take('a', 6)
      limiter.update(change)
      expect(limiter.peek('a').remaining).toBe(14)
      expect(limiter.peek('b').remaining).toBe(20)
    }
  })

  it('keeps when a window began and a grant was made', () => {
    const fixed = fixedWindow({ limit: 1, windowMs: 1000, clock: manualClock({ startMs: 500 }) })
    fixed.take('a', 1, 100)
    fixed.update({ windowMs: 2500 / 3 })
    expect(fixed.peek('a', 1, 500).retryAfterMs).toBeCloseTo(2500 / 3 - 400, 3)
    const log = slidingLog({ limit: 1, windowMs: 1000, clock: manualClock({ startMs: 500 }) })
    log.take('a', 1, 100)
    log.update({ windowMs: 2500 / 3 })
    expect(log.peek('a', 1, 500).retryAfterMs).toBeCloseTo(2500 / 3 - 400, 3)
  })

  it('keeps blocks', () => {
    const clock = manualClock()
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 5, clock })
    limiter.block('a', 1000)
    limiter.update({ ratePerSecond: 7 })
    expect(limiter.peek('a').retryAfterMs).toBeCloseTo(1000, 2)
  })

  it('never grants more than the more generous of two settings would have, whenever it comes', () => {
    const settings = fc.record({
      ratePerSecond: fc.integer({ min: 1, max: 50 }),
      burst: fc.integer({ min: 1, max: 20 }),
    })
    const step = fc.record({ dt: fc.nat(300), change: fc.option(settings, { freq: 3 }) })
    fc.assert(
      fc.property(settings, fc.array(step, { maxLength: 80, size: 'max' }), (first, steps) => {
        const clock = manualClock()
        const limiter = tokenBucket({ ...first, clock })
        let granted = 0
        let [rate, burst] = [first.ratePerSecond, first.burst]
        for (const { dt, change } of steps) {
          clock.jump(dt)
          if (change !== null) {
            limiter.update(change)
            rate = Math.max(rate, change.ratePerSecond)
            burst = Math.max(burst, change.burst)
          }
          if (limiter.take('a').allowed) granted++
        }
        const elapsed = clock.now() - 1_000_000
        expect(granted).toBeLessThanOrEqual(burst + (rate * elapsed) / 1000 + 1e-6)
      }),
    )
  })
})

describe('more keys than there is room for', () => {
  it('lets nobody begin anew by moving from a shared row to one of his own', () => {
    const limiter = tokenBucket({ ratePerSecond: 10, burst: 10, maxKeys: 1 })
    const shared: string[] = []
    for (let i = 0; i < 200; i++) {
      const { overflowed } = limiter.snapshot()
      limiter.take(`k${i}`, 1, 0)
      if (limiter.snapshot().overflowed > overflowed) shared.push(`k${i}`)
    }
    expect(shared.length).toBeGreaterThan(0)
    for (const key of shared) {
      // Together they have used up what they share. At 100 ms the others' rows are idle, and this key gets one.
      expect(limiter.peek(key, 1, 100).remaining).toBeLessThanOrEqual(1)
      if (limiter.take(key, 1, 100).allowed) expect(limiter.peek(key, 1, 100).remaining).toBe(0)
    }
  })
})

describe('snapshot and reset', () => {
  it('counts decisions and keys, and forgets them, not the settings', () => {
    const limiter = fixedWindow({ limit: 1, windowMs: 1000, name: 'counted', maxKeys: 50 })
    limiter.take('a', 1, 0)
    limiter.take('a', 1, 0)
    limiter.take('b', 2, 0)
    limiter.peek('c', 1, 0)
    expect(limiter.snapshot()).toEqual({
      settings: { limit: 1, windowMs: 1000, name: 'counted', maxKeys: 50 },
      allowed: 1,
      denied: 2,
      never: 1,
      keys: 1,
      maxKeys: 50,
      reused: 0,
      overflowed: 0,
      blocked: 0,
    })
    limiter.reset()
    expect(limiter.snapshot()).toMatchObject({ allowed: 0, denied: 0, never: 0, keys: 0 })
    expect(limiter.take('a', 1, 0).allowed).toBe(true)
  })

  it('forgets grants and blocks of every kind', () => {
    const limiters: Limiter[] = [
      slidingLog({ limit: 1, windowMs: 1000 }),
      slidingWindow({ limit: 1, windowMs: 1000 }),
      warmUp({ ratePerSecond: 1, burst: 1, warmUpMs: 1000 }),
    ]
    for (const limiter of limiters) {
      limiter.take('a', 1, 0)
      limiter.block('a', 1e6, 0)
      limiter.reset()
      expect(limiter.take('a', 1, 1).allowed).toBe(true)
      expect(limiter.take('a', 1, 1).allowed).toBe(false)
    }
  })

  it('is listed in inspect()', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, name: 'listed' })
    limiter.take('a')
    const line = inspect().find(({ name }) => name === 'listed')
    expect(line).toMatchObject({ kind: 'token-bucket', snapshot: { allowed: 1 } })
  })
})

describe('unlimited', () => {
  it('grants everything, however much, and is nothing that a header could tell', () => {
    const limiter = unlimited()
    expect(limiter.take('a', 1e9)).toMatchObject({ allowed: true, remaining: Infinity })
    expect(limiter.policies()).toEqual([])
    expect(limiter.snapshot()).toEqual({ allowed: 1 })
    expect(() => limiter.take('a', -1)).toThrow(/cost/)
    expect(() => limiter.block('a', 1)).toThrow(/nobody/)
  })
})
