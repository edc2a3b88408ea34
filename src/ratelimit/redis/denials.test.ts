import { expect, test } from 'vitest'
import { Denials } from './denials.ts'

const denial = (retryAfterMs: number) => ({
  allowed: false,
  limit: 10,
  remaining: 0,
  retryAfterMs,
  resetAfterMs: 1_000,
  policy: 'p',
  source: 'redis' as const,
  shadowed: false,
  parts: undefined,
})

test('a million keys that are denied take no more room than was given', () => {
  const denials = new Denials(100, 1_000)
  for (let i = 0; i < 1_000_000; i++) denials.note(`key-${i}`, 1, denial(500), 0, 0)
  expect(denials.size).toBeLessThanOrEqual(100)
  expect(denials.find('key-999999', 1, 499)).toMatchObject({
    retryAfterMs: 1,
    resetAfterMs: 501,
    source: 'cache',
  })
  expect(denials.find('key-999999', 1, 500)).toBeUndefined()
})

test('counts from when the question was sent, and keeps none for longer than it may', () => {
  const denials = new Denials(100, 1_000)
  denials.note('late', 1, denial(50), 0, 60)
  expect(denials.find('late', 1, 60)).toBeUndefined()
  denials.note('never', 1, denial(Infinity), 0, 0)
  expect(denials.find('never', 1, 999)).toMatchObject({ retryAfterMs: Infinity })
  expect(denials.find('never', 1, 1_000)).toBeUndefined()
})

test('the denial of the smallest cost counts', () => {
  const denials = new Denials(100, 1_000)
  denials.note('a', 5, denial(500), 0, 0)
  denials.note('a', 9, denial(900), 0, 0)
  expect(denials.find('a', 4, 0)).toBeUndefined()
  expect(denials.find('a', 5, 499)).toBeDefined()
  denials.note('a', 2, denial(100), 0, 0)
  expect(denials.find('a', 2, 99)).toBeDefined()
  denials.forget('a')
  expect(denials.find('a', 5, 0)).toBeUndefined()
})

test('none are kept where none are wanted', () => {
  const denials = new Denials(0, 1_000)
  denials.note('a', 1, denial(500), 0, 0)
  expect(denials.size).toBe(0)
})
