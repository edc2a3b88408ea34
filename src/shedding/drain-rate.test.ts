import { expect, test } from 'vitest'
import { DrainRate } from './drain-rate.ts'

function run(rate: DrainRate, from: number, ms: number, perStep: number): number {
  for (let now = from; now < from + ms; now += 5) {
    rate.started(perStep / 2)
    rate.started(perStep / 2)
    rate.measure(now + 5)
  }
  return from + ms
}

test('the first measurement of a queue replaces whatever was known', () => {
  const rate = new DrainRate()
  expect(rate.perMs).toBe(1)
  rate.restart(1_000)
  run(rate, 1_000, 5, 0.25)
  expect(rate.perMs).toBeCloseTo(0.05)
})

test('is the plain mean at first, and that of the last 200 ms later', () => {
  const rate = new DrainRate()
  rate.restart(0)
  let now = run(rate, 0, 50, 5)
  now = run(rate, now, 50, 2.5)
  expect(rate.perMs).toBeCloseTo(0.75)
  now = run(rate, now, 1_000, 2.5)
  expect(rate.perMs).toBeCloseTo(0.5, 1)
})

test('what began before the queue ran dry is the least it can be: too short a queue does not confirm itself', () => {
  const rate = new DrainRate()
  rate.restart(0)
  let now = run(rate, 0, 5, 0.5)
  expect(rate.perMs).toBeCloseTo(0.1)
  // As much as that begins, again and again, because no more is let into the queue.
  for (let step = 0; step < 20; step++) {
    rate.started(0.5)
    rate.dry()
    now += 5
    rate.measure(now)
  }
  expect(rate.perMs).toBe(1)
  // Where there is always something left, it is what it is.
  now = run(rate, now, 1_500, 0.5)
  expect(rate.perMs).toBeLessThan(0.11)
})

test('is known once it has been measured for long enough, over more than a few calls', () => {
  const rate = new DrainRate()
  rate.restart(0)
  rate.started(2)
  rate.measure(40)
  expect(rate.isKnown(30, 40)).toBe(false)
  run(rate, 40, 20, 2)
  expect(rate.isKnown(30, 60)).toBe(true)
  expect(rate.isKnown(100, 60)).toBe(false)
  rate.restart(60)
  expect(rate.isKnown(0, 61)).toBe(false)
})

test('knows how far off it may be: a stall among few measurements makes it doubtful, an even pace does not', () => {
  const even = new DrainRate()
  even.restart(0)
  run(even, 0, 100, 2.5)
  expect(even.deviation).toBeLessThan(0.01)
  const stalled = new DrainRate()
  stalled.restart(0)
  let now = run(stalled, 0, 20, 4)
  stalled.started(4)
  now += 40
  stalled.measure(now)
  // A free loop in truth, and 20 ms of work in 60 so far.
  expect(stalled.perMs).toBeLessThan(0.4)
  expect(stalled.perMs + 3 * stalled.deviation).toBeGreaterThan(0.8)
  for (let i = 0; i < 4; i++) now = run(stalled, now, 100, 4)
  expect(stalled.deviation).toBeLessThan(0.1)
})

test('is not known while one gap makes up most of the time', () => {
  const rate = new DrainRate()
  rate.restart(0)
  for (let now = 2; now <= 10; now += 2) {
    rate.started(2)
    rate.seen(now)
  }
  rate.seen(50)
  rate.started(2)
  expect(rate.isKnown(30, 50)).toBe(false)
  for (let now = 52; now <= 80; now += 2) rate.seen(now)
  expect(rate.isKnown(30, 80)).toBe(true)
})

test('a jump of the clock is no measurement', () => {
  const rate = new DrainRate()
  rate.restart(0)
  const now = run(rate, 0, 100, 2.5)
  rate.measure(now + 600_000)
  expect(rate.perMs).toBeCloseTo(0.5)
  run(rate, now + 600_000, 5, 2.5)
  expect(rate.deviation).toBeLessThan(0.01)
})

test('is never nothing, and a clock that goes backwards starts it anew', () => {
  const rate = new DrainRate()
  rate.restart(1_000)
  for (let now = 1_000; now < 10_000; now += 10) rate.measure(now)
  expect(rate.perMs).toBeGreaterThan(0)
  rate.started(5)
  rate.measure(500)
  expect(rate.isKnown(0, 510)).toBe(false)
  rate.reset()
  expect(rate.perMs).toBe(1)
})
