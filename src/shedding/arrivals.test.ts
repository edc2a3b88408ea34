import { expect, test } from 'vitest'
import { Arrivals } from './arrivals.ts'

/** `perMs` calls of 1 ms of each class for each millisecond. */
function feed(arrivals: Arrivals, from: number, ms: number, ...perMs: number[]): number {
  for (let now = from; now < from + ms; now++) {
    for (const [importance, n] of perMs.entries()) {
      for (let i = 0; i < n; i++) arrivals.add(importance, 1, now)
    }
    if (now % 5 === 0) arrivals.tend(now)
  }
  return from + ms
}

test('a class is measured with all that come before it, and not with those that come after', () => {
  const arrivals = new Arrivals()
  feed(arrivals, 0, 3_000, 0, 1, 0, 3)
  expect(arrivals.exceed(1, 1.2)).toBe(false)
  expect(arrivals.exceed(2, 1.2)).toBe(false)
  expect(arrivals.exceed(3, 1.2)).toBe(true)
  expect(arrivals.workPerMs).toBeCloseTo(4, 1)
  expect(arrivals.grainMs).toBeCloseTo(1)
})

test('an overload of a while ago is not one of now', () => {
  const arrivals = new Arrivals()
  const now = feed(arrivals, 0, 3_000, 0, 3)
  expect(arrivals.exceed(1, 1.2)).toBe(true)
  feed(arrivals, now, 300, 0, 1)
  expect(arrivals.exceed(1, 1.2)).toBe(false)
})

test('without batches it averages by itself', () => {
  const arrivals = new Arrivals()
  for (let now = 0; now < 1_000; now++) arrivals.add(1, 2, now)
  expect(arrivals.workPerMs).toBeGreaterThan(1.8)
})

test('a long silence, and a clock that jumps, start from what was known', () => {
  const arrivals = new Arrivals()
  let now = feed(arrivals, 0, 1_000, 0, 1)
  const before = arrivals.workPerMs
  now += 600_000
  arrivals.add(1, 1, now)
  expect(arrivals.workPerMs).toBe(before)
  arrivals.add(1, 1, 5)
  arrivals.tend(100)
  expect(arrivals.workPerMs).toBeLessThan(before)
  arrivals.reset()
  expect(arrivals.workPerMs).toBe(0)
})
