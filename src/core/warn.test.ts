import { afterEach, expect, test, vi } from 'vitest'
import { warn } from './warn.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

test('each message is given once, as a warning of the process with a code', () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  warn('SPILLWAY_TEST', 'once')
  warn('SPILLWAY_TEST', 'once')
  warn('SPILLWAY_TEST', 'another')
  expect(emitted.mock.calls).toEqual([
    ['once', { type: 'SpillwayWarning', code: 'SPILLWAY_TEST' }],
    ['another', { type: 'SpillwayWarning', code: 'SPILLWAY_TEST' }],
  ])
})

test('what is remembered of warnings has a bound', () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  for (let i = 0; i < 2_000; i++) warn('SPILLWAY_TEST', `number ${i}`)
  expect(emitted.mock.calls.length).toBeLessThanOrEqual(1_000)
})
