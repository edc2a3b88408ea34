import { expect, test } from 'vitest'
import { BusyStreak } from './busy-streak.ts'

test('counts from when the loop last waited', () => {
  let idle = 0
  const streak = new BusyStreak(() => idle)
  expect(streak.read(1_000)).toBe(0)
  expect(streak.read(1_007)).toBe(7)
  idle = 2
  expect(streak.read(1_010)).toBe(0)
  expect(streak.read(1_011)).toBe(1)
})

test('a busy time in which nobody looked is a stall, a wait is not', () => {
  let idle = 0
  const streak = new BusyStreak(() => idle)
  expect(streak.stalled(500)).toBe(false)
  streak.read(1_000)
  expect(streak.stalled(1_029)).toBe(false)
  expect(streak.stalled(1_080)).toBe(true)
  idle = 60
  expect(streak.stalled(1_080)).toBe(false)
  streak.read(1_080)
  streak.seen(1_200)
  expect(streak.stalled(1_220)).toBe(false)
  expect(streak.stalled(1_231)).toBe(true)
})
