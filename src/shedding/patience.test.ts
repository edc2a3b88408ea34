import { expect, test } from 'vitest'
import { Patience } from './patience.ts'

test('waits as long as was set, longer for coarse work, and never longer than 200 ms', () => {
  const patience = new Patience(100)
  const waitMs = (grainMs: number): number => {
    patience.tend({ burstWaitMs: 100, standingWaitMs: 20 }, grainMs, 0)
    return patience.waitMs
  }
  expect([1, 10, 100].map(waitMs)).toEqual([100, 120, 200])
})

test('lets through for a second what had to wait while the loop stood still', () => {
  const patience = new Patience(100)
  expect(patience.stalled(50)).toBe(true)
  patience.tend({ burstWaitMs: 100, standingWaitMs: 20 }, 1, 1_049)
  expect(patience.waitMs).toBe(200)
  patience.tend({ burstWaitMs: 100, standingWaitMs: 20 }, 1, 1_050)
  expect(patience.waitMs).toBe(100)
})

test('a loop that stands still all the time is not let off each time', () => {
  const patience = new Patience(100)
  expect([0, 300, 999, 1_000].map(now => patience.stalled(now))).toEqual([true, false, false, true])
  patience.reset()
  expect(patience.stalled(1_001)).toBe(true)
})

test('who has had less than its share may wait three times as long as a queue that stands lets others, or for the grain', () => {
  const patience = new Patience(100)
  const keepUpMs = (grainMs: number): number => {
    patience.tend({ burstWaitMs: 100, standingWaitMs: 20 }, grainMs, 0)
    return patience.keepUpMs
  }
  expect([1, 10, 100].map(keepUpMs)).toEqual([60, 120, 200])
})

test('a clock that has gone far back does not make it wait for longer until it has caught up', () => {
  const patience = new Patience(100)
  patience.stalled(600_000)
  patience.tend({ burstWaitMs: 100, standingWaitMs: 20 }, 1, 5_000)
  expect(patience.waitMs).toBe(100)
  expect(patience.stalled(5_000)).toBe(true)
})

test('while a queue stands nobody waits longer than was set, but for a turn of the loop, if that is not too long', () => {
  const patience = new Patience(100)
  const waits = { burstWaitMs: 100, standingWaitMs: 20 }
  const standingMs = [0, 5, 40, 140, 145, 100].map(now => {
    patience.tend(waits, 1, now)
    return patience.standingMs
  })
  expect(standingMs).toEqual([20, 20, 35, 40, 20, 20])
})
