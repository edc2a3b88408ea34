import { expect, test } from 'vitest'
import { backoff } from './backoff.ts'

const half = (): number => 0.5

test('exponential doubles up to its limit', () => {
  const exponential = backoff.exponential({ baseMs: 50, maxMs: 300 })
  expect([1, 2, 3, 4, 5].map(attempt => exponential(attempt, 0, half))).toEqual([50, 100, 200, 300, 300])
})

test('the jitters', () => {
  expect(backoff.fullJitter()(3, 0, half)).toBe(100)
  expect(backoff.equalJitter()(3, 0, half)).toBe(150)
  expect(backoff.decorrelated()(3, 100, half)).toBe(175)
})

test('the backoff of gRPC: exponential, spread by a fifth', () => {
  const grpc = backoff.spread(0.2, backoff.exponential({ baseMs: 1_000 }))
  expect(grpc(1, 0, () => 0)).toBe(800)
  expect(grpc(1, 0, () => 1)).toBe(1_200)
})

test('twice at once, then slowly, then no more', () => {
  const made = backoff.sequence(
    backoff.constant(0),
    2,
    backoff.sequence(backoff.constant(1_000), 1, backoff.stop),
  )
  expect([1, 2, 3, 4].map(attempt => made(attempt, 0, half))).toEqual([0, 0, 1_000, Infinity])
})

test('a base of nothing waits for nothing, however many attempts there were', () => {
  expect(backoff.exponential({ baseMs: 0 })(5_000, 0, half)).toBe(0)
})

test('options are checked', () => {
  expect(() => backoff.exponential({ baseMs: -1 })).toThrow(
    'Expected `baseMs` to be a number from 0 up, got -1',
  )
  expect(() => backoff.fullJitter({ maxMs: Number.NaN })).toThrow('maxMs')
  expect(() => backoff.exponential({ factor: 0.5 })).toThrow('factor')
  expect(() => backoff.constant(Infinity)).toThrow('ms')
  expect(() => backoff.spread(2, backoff.stop)).toThrow('ratio')
  expect(() => backoff.longest(5 as never)).toThrow('Expected `inner` to be a function')
  expect(() => backoff.fullJitter({ base: 5 } as never)).toThrow('has no option `base`')
})
