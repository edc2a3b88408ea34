import { expect, test } from 'vitest'
import { Tally } from './tally.ts'

test('counts all there was, and which part was refused lately', () => {
  const tally = new Tally()
  expect(tally.refusedShare(0)).toBe(0)
  for (let i = 0; i < 30; i++) tally.admit(100)
  for (let i = 0; i < 10; i++) tally.refuse('limit', 200)
  expect(tally.refusedShare(400)).toBe(0.25)
  expect(tally.refusedShare(900)).toBe(0.25)
  for (let i = 0; i < 30; i++) tally.refuse('wait', 900)
  expect(tally.refusedShare(999)).toBe(40 / 70)
  expect(tally.refusedShare(1_000)).toBe(1)
  expect(tally.refusedShare(1_500)).toBe(0)
  expect(tally.snapshot()).toMatchObject({ admitted: 30, refused: { limit: 10, wait: 30, full: 0 } })
})

test('what nobody waits for any more was not refused for want of room', () => {
  const tally = new Tally()
  tally.refuse('gone', 0)
  expect(tally.refusedShare(0)).toBe(0)
  expect(tally.refused.gone).toBe(1)
})

test('after a long silence, or a jump of the clock, nothing is recent', () => {
  const tally = new Tally()
  tally.refuse('limit', 10_000)
  expect(tally.refusedShare(1e9)).toBe(0)
  tally.refuse('limit', 10)
  expect(tally.refusedShare(10)).toBe(1)
  tally.reset()
  expect(tally.refusedShare(20)).toBe(0)
  expect(tally.snapshot().refused.limit).toBe(0)
})

test('what came too late was not refused for want of room either', () => {
  const tally = new Tally()
  expect(tally.late('enforce')).toBe('late')
  expect(tally.late('observe')).toBe('run')
  expect(tally.refusedShare(0)).toBe(0)
  expect(tally.snapshot().refused.late).toBe(2)
})
