import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/support/overload.ts'
import { Demand } from './demand.ts'

/** Calls of these costs at random times, at `perMs` work for each millisecond, for `ms`; folded in every `step`. */
function feed(
  demand: Demand,
  perMs: number,
  costs: readonly number[],
  ms: number,
  random: () => number,
  step = 5,
) {
  const mean = costs.reduce((a, b) => a + b) / costs.length
  let next = 0
  for (let t = 0; t < ms; t += step) {
    let work = 0
    let squares = 0
    while (next < t + step) {
      const cost = costs[Math.floor(random() * costs.length)]!
      work += cost
      squares += cost * cost
      next += (-Math.log(1 - random()) * mean) / perMs
    }
    demand.add(work, squares, step)
  }
}

test('is the mean of what comes, whatever the steps', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 5, noNaN: true }),
      fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 60 }),
      (rate, steps) => {
        const demand = new Demand(100)
        for (const step of steps) demand.add(rate * step, rate * step * 3, step)
        const elapsed = steps.reduce((a, b) => a + b)
        expect(demand.workPerMs).toBeCloseTo(rate * (1 - Math.exp(-elapsed / 100)), 6)
        expect(demand.grainMs).toBeCloseTo(3)
      },
    ),
  )
})

test('a pause delivers late what was due, and moves the mean by that over its time and no more', () => {
  const demand = new Demand(100)
  for (let i = 0; i < 200; i++) demand.add(0.7 * 5, 7, 5)
  // 80 ms in which nothing is seen, and then all of it at once.
  demand.add(0, 0, 80)
  demand.add(0.7 * 85, 120, 5)
  expect(demand.workPerMs).toBeLessThan(0.95)
})

describe('certainty', () => {
  const alarms = (perMs: number, costs: readonly number[], tauMs: number, sigmas: number): number => {
    let count = 0
    for (let seed = 1; seed <= 200; seed++) {
      const demand = new Demand(tauMs)
      feed(demand, perMs, costs, 8 * tauMs, seeded(seed))
      if (demand.exceeds(1, sigmas)) count++
    }
    return count / 200
  }

  test('what is below capacity is hardly ever taken for more, also if a few calls cost thirty times as much', () => {
    const heavyTail = [...Array.from({ length: 9 }, () => 0.5), 15]
    expect(alarms(0.9, [2], 100, 3)).toBe(0)
    expect(alarms(0.9, heavyTail, 100, 3)).toBeLessThan(0.02)
    expect(alarms(0.9, heavyTail, 1_000, 2)).toBeLessThan(0.02)
  })

  test('twice the capacity is seen for what it is', () => {
    expect(alarms(2, [2], 100, 3)).toBe(1)
    expect(alarms(1.2, [2], 1_000, 2)).toBe(1)
  })
})

test('knows nothing at first, and nothing after a reset', () => {
  const demand = new Demand(100)
  expect(demand.exceeds(0, 3)).toBe(false)
  expect(demand.grainMs).toBe(0)
  demand.add(500, 500, 10)
  demand.reset()
  expect(demand.workPerMs).toBe(0)
})
