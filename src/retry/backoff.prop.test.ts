import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Backoff, backoff } from './backoff.ts'

const attempt = fc.integer({ min: 1, max: 2_000 })
const previous = fc.double({ min: 0, max: 1e9, noNaN: true })
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const bounds = fc
  .tuple(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 100_000 }))
  .map(([baseMs, more]) => ({ baseMs, maxMs: baseMs + more }))

const jittered: Record<string, (options: { baseMs: number; maxMs: number }) => Backoff> = {
  exponential: backoff.exponential,
  fullJitter: backoff.fullJitter,
  equalJitter: backoff.equalJitter,
  decorrelated: backoff.decorrelated,
}

test('every wait is a number from 0 up to the limit, however many attempts there were', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(jittered)),
      bounds,
      attempt,
      previous,
      random,
      (kind, bounds, ...at) => {
        const [attempt, previous, random] = at
        const ms = jittered[kind]!(bounds)(attempt, previous, () => random)
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(ms).toBeLessThanOrEqual(bounds.maxMs)
      },
    ),
  )
})

test('full jitter reaches from nothing to the whole, equal jitter keeps half of it, decorrelated keeps the base', () => {
  fc.assert(
    fc.property(bounds, attempt, previous, random, (bounds, attempt, previous, random) => {
      const whole = backoff.exponential(bounds)(attempt, previous, () => random)
      expect(backoff.fullJitter(bounds)(attempt, previous, () => 0)).toBe(0)
      expect(backoff.fullJitter(bounds)(attempt, previous, () => random)).toBe(random * whole)
      expect(backoff.equalJitter(bounds)(attempt, previous, () => random)).toBeGreaterThanOrEqual(whole / 2)
      expect(backoff.decorrelated(bounds)(attempt, previous, () => random)).toBeGreaterThanOrEqual(
        bounds.baseMs,
      )
    }),
  )
})

test('it is a pure function: the same question, the same answer', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(jittered)),
      bounds,
      attempt,
      previous,
      random,
      (kind, bounds, ...at) => {
        const [attempt, previous, random] = at
        const made = jittered[kind]!(bounds)
        const first = made(attempt, previous, () => random)
        made(attempt + 1, previous * 2, () => 1 - random)
        expect(made(attempt, previous, () => random)).toBe(first)
      },
    ),
  )
})

test('of several, the longest and the shortest', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 1_000 }), { minLength: 1 }), waits => {
      const inner = waits.map(ms => backoff.constant(ms))
      expect(backoff.longest(...inner)(1, 0, Math.random)).toBe(Math.max(...waits))
      expect(backoff.shortest(...inner)(1, 0, Math.random)).toBe(Math.min(...waits))
      expect(backoff.longest(...inner, backoff.stop)(1, 0, Math.random)).toBe(Infinity)
      expect(backoff.shortest(...inner, backoff.stop)(1, 0, Math.random)).toBe(Math.min(...waits))
    }),
  )
})

test('a sequence is its first part for so many attempts, and then its second from the start', () => {
  fc.assert(
    fc.property(fc.nat({ max: 20 }), attempt, (length, attempt) => {
      const first = backoff.exponential({ baseMs: 1, maxMs: 1_000 })
      const second = backoff.exponential({ baseMs: 7, maxMs: 5_000 })
      const ms = backoff.sequence(first, length, second)(attempt, 3, Math.random)
      expect(ms).toBe(
        attempt <= length ? first(attempt, 3, Math.random) : second(attempt - length, 3, Math.random),
      )
    }),
  )
})
