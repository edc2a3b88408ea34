import { expect, test } from 'vitest'
import { type CircuitSettings, circuitDefaults } from './circuit-options.ts'
import { Tally } from './tally.ts'

const settings: CircuitSettings = { ...circuitDefaults, minimum: 4, consecutiveFailures: 3, slowRatio: 0.75 }

test('nothing is judged by too few calls, and a success may be the one that completes the sample', () => {
  const tally = new Tally({ ...settings, consecutiveFailures: Infinity })
  for (const failed of [true, true, true]) tally.add(failed, false, 0)
  expect(tally.judge({ ...settings, consecutiveFailures: Infinity })).toBeUndefined()
  tally.add(false, false, 0)
  expect(tally.judge({ ...settings, consecutiveFailures: Infinity })).toBe('failure-ratio')
})

test('slow calls are judged apart from failed ones', () => {
  const tally = new Tally(settings)
  for (let i = 0; i < 4; i++) tally.add(false, i > 0, 0)
  expect(tally.judge(settings)).toBe('slow-ratio')
})

test('a streak counts only as far as it lies in the window', () => {
  const tally = new Tally(settings)
  tally.add(true, false, 0)
  tally.add(true, false, 0)
  tally.add(true, false, 11_000)
  expect(tally.streak).toBe(3)
  expect(tally.judge(settings)).toBeUndefined()
})

test('a window of another shape keeps the counts', () => {
  const tally = new Tally(settings)
  for (let i = 0; i < 3; i++) tally.add(i === 0, false, 5_000)
  tally.reshape({ ...settings, windowMs: 30_000, buckets: 3 }, 5_000)
  expect(tally).toMatchObject({ total: 3, failures: 1 })
  tally.clear()
  expect(tally).toMatchObject({ total: 0, failures: 0, streak: 0 })
})
