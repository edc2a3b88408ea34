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

test('whether it lasts is told without asking for the idle time, as long as that can be known', () => {
  let asked = 0
  const loop = { idle: 0 }
  const streak = new BusyStreak(() => {
    asked++
    return loop.idle
  })
  expect(streak.lasts(5, 100)).toBe(false)
  expect(asked).toBe(1)
  expect(streak.lasts(5, 104.9)).toBe(false)
  expect(asked).toBe(1)
  expect(streak.lasts(5, 105)).toBe(true)
  expect(asked).toBe(2)
  loop.idle = 3
  expect(streak.lasts(5, 120)).toBe(false)
  expect(streak.lasts(5, 124)).toBe(false)
  expect(streak.lasts(5, 126)).toBe(true)
  expect(streak.lasts(5, 50)).toBe(false)
})
