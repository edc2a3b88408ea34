import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hotKeys } from './hot-keys.ts'

/** Counts exactly, by remembering every call. */
class Exact {
  calls: { key: string; at: number }[] = []
  readonly halfLifeMs: number

  constructor(halfLifeMs: number) {
    this.halfLifeMs = halfLifeMs
  }

  weight(now: number, key?: string): number {
    return this.calls
      .filter(call => key === undefined || call.key === key)
      .reduce((sum, call) => sum + 2 ** ((call.at - now) / this.halfLifeMs), 0)
  }
}

/** Few keys with most of the calls, and a long tail. */
const key = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b') },
  { weight: 2, arbitrary: fc.constantFrom('c', 'd', 'e', 'f') },
  { weight: 2, arbitrary: fc.nat(200).map(String) },
)
const traffic = fc.array(
  fc.record({
    key,
    afterMs: fc.oneof({ weight: 9, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(100_000) }),
  }),
  { minLength: 1, maxLength: 300, size: 'max' },
)
const close = 1e-6

describe('hot keys', () => {
  it('are within the stated error of exact counts, tracked or not, whatever the traffic and the decay', () => {
    fc.assert(
      fc.property(
        traffic,
        fc.integer({ min: 1, max: 12 }),
        fc.constantFrom(50, 1_000),
        (calls, capacity, halfLifeMs) => {
          const keys = hotKeys({ capacity, halfLifeMs, hotShare: 0.2, minPerSecond: 0 })
          const exact = new Exact(halfLifeMs)
          let now = 5_000
          for (const call of calls) {
            now += call.afterMs
            exact.calls.push({ key: call.key, at: now })
            keys.touch(call.key, now)
          }
          const total = exact.weight(now)
          const top = keys.top(capacity, now)
          const found = new Map(top.map(entry => [entry.key, entry]))
          expect(top.length).toBe(Math.min(capacity, new Set(calls.map(call => call.key)).size))
          for (const name of new Set(calls.map(call => call.key))) {
            const share = exact.weight(now, name) / total
            const entry = found.get(name)
            if (entry === undefined) {
              expect(share).toBeLessThanOrEqual(1 / capacity + close)
              expect(keys.isHot(name, now)).toBe(false)
              continue
            }
            expect(entry.atLeastShare).toBeLessThanOrEqual(share + close)
            expect(entry.share).toBeGreaterThanOrEqual(share - close)
            expect(entry.share - entry.atLeastShare).toBeLessThanOrEqual(1 / capacity + close)
            // Hot means surely hot, and what is hot by more than the error is never missed.
            if (keys.isHot(name, now)) expect(share).toBeGreaterThanOrEqual(0.2 - close)
            if (share > 0.2 + 1 / capacity + close) expect(keys.isHot(name, now)).toBe(true)
          }
          expect(keys.hot(now).length).toBeLessThanOrEqual(5)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('with a place for every key are exact', () => {
    fc.assert(
      fc.property(traffic, calls => {
        const keys = hotKeys({ capacity: 300, halfLifeMs: 1_000, minPerSecond: 0 })
        const exact = new Exact(1_000)
        let now = 0
        for (const call of calls) {
          now += call.afterMs
          exact.calls.push({ key: call.key, at: now })
          keys.touch(call.key, now)
        }
        for (const entry of keys.top(300, now)) {
          const weight = exact.weight(now, entry.key)
          expect(entry.share).toBeCloseTo(weight / exact.weight(now), 6)
          expect(entry.perSecond).toBeCloseTo(weight * Math.LN2, 6)
          expect(entry.atLeastShare).toBeCloseTo(entry.share, 9)
        }
      }),
      { numRuns: 50 },
    )
  })
})
