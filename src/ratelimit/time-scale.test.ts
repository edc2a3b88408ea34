import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimeScale, unitsFor } from './time-scale.ts'

const always = (): boolean => true

describe('unitsFor', () => {
  it('is exact for every interval that people write down', () => {
    for (const perSecond of [
      1,
      3,
      7,
      9,
      11,
      60,
      100,
      128,
      333,
      1000,
      4096,
      12_345,
      100_000,
      1 / 60,
      1 / 3600,
    ]) {
      const { units, perMs } = unitsFor(1000 / perSecond, always)!
      // The rate is a fraction; so compare whole numbers.
      const rate = perSecond < 1 ? { n: 1, d: Math.round(1 / perSecond) } : { n: perSecond, d: 1 }
      expect(units * rate.n).toBe(1000 * rate.d * perMs)
    }
  })

  it('never makes an interval shorter, and longer by next to nothing', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 1e8, noNaN: true }), ms => {
        const { units, perMs } = unitsFor(ms, always)!
        const got = units / perMs
        expect(got).toBeGreaterThanOrEqual(ms * (1 - 1e-14))
        expect(got).toBeLessThanOrEqual(ms * (1 + 1e-3) + 1e-300)
        expect(perMs).toBeLessThanOrEqual(32_768)
        if (ms > 1) expect(got).toBeLessThanOrEqual(ms * (1 + 1e-6))
      }),
      { numRuns: 2000 },
    )
  })

  it('counts in microseconds or finer, unless that would not fit', () => {
    expect(unitsFor(10, always)!.perMs).toBe(1000)
    expect(unitsFor(1000 / 3, always)!.perMs).toBe(3000)
    expect(unitsFor(10, ({ units }) => units <= 100)!.perMs).toBe(10)
    expect(unitsFor(10, () => false)).toBeUndefined()
  })
})

describe('TimeScale', () => {
  it('never goes back, and a reading that is no number changes nothing', () => {
    const scale = new TimeScale(1000)
    expect(scale.read(5000)).toBe(0)
    expect(scale.read(5001)).toBe(1000)
    for (const late of [5000.5, 0, -1e9, Number.NaN, -Infinity]) expect(scale.read(late)).toBe(1000)
    expect(() => scale.read(Infinity)).toThrow(/`now`/)
    expect(() => scale.read(1e15)).toThrow(/`now`/)
    expect(scale.read(5001.5)).toBe(1500)
  })

  it('reaches a time by waiting for exactly as long as it says, whatever the rounding', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        fc.constantFrom(1000, 3000, 7000, 12_345, 32_768),
        fc.nat(10_000_000),
        (start, perMs, wait) => {
          const scale = new TimeScale(perMs)
          const now = scale.read(start)
          expect(scale.read(start + scale.ms(wait))).toBeGreaterThanOrEqual(now + wait)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('moves in steps when it is told to, and says how long the rest of a step is', () => {
    const scale = new TimeScale(1000, { step: 250_000 })
    expect(scale.read(1000)).toBe(0)
    expect(scale.read(1100)).toBe(0)
    expect(scale.ms(1)).toBe(150)
    expect(scale.ms(250_001)).toBe(400)
    expect(scale.past(1000)).toBe(0)
    expect(scale.read(1250)).toBe(250_000)
    expect(scale.past(1249)).toBe(0)
  })

  it('begins at a multiple of what it is aligned to', () => {
    const scale = new TimeScale(1000, { alignMs: 60_000 })
    expect(scale.read(90_000)).toBe(30_000_000)
  })

  it('goes on where another stands', () => {
    const scale = new TimeScale(1000)
    scale.read(5000)
    scale.read(7000)
    const finer = new TimeScale(3000)
    finer.follow(scale)
    expect(finer.read(6000)).toBe(6_000_000)
    expect(finer.read(8000)).toBe(9_000_000)
  })
})
