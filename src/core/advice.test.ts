import { describe, expect, it } from 'vitest'
import { adviceOf, advise, isFinal, retryAfter, shouldRetry } from './advice.ts'
import { Rejection } from './rejection.ts'

const final = (): Rejection => new Rejection({ reason: 'retries-exhausted', policy: 'retry', retry: 'never' })
const soon = (): Rejection =>
  new Rejection({ reason: 'rate-limited', policy: 'limit', retry: 'later', retryAfterMs: 40 })

describe('advice', () => {
  it('is what a rejection says', () => {
    expect(shouldRetry(soon())).toBe(true)
    expect(retryAfter(soon())).toBe(40)
    expect(shouldRetry(final())).toBe(false)
    expect(isFinal(final())).toBe(true)
  })

  it('is none where nobody gave any', () => {
    for (const error of [undefined, null, 'text', 7, {}, new Error('plain')]) {
      expect(adviceOf(error)).toBeUndefined()
      expect(shouldRetry(error)).toBe(false)
      expect(isFinal(error)).toBe(false)
      expect(retryAfter(error)).toBeUndefined()
    }
  })

  it('is written on an error without changing what it is', () => {
    const error = new Error('unavailable')
    advise(error, { retry: 'later', retryAfterMs: 5 })
    expect(retryAfter(error)).toBe(5)
    expect(Object.keys(error)).toEqual([])
    expect(JSON.stringify(error)).toBe('{}')
    advise(error, { retry: 'elsewhere' })
    expect(adviceOf(error)).toEqual({ retry: 'elsewhere' })
  })

  it('goes through causes to the nearest that has any', () => {
    const inner = soon()
    const middle = new Error('middle', { cause: inner })
    const outer = new Error('outer', { cause: middle })
    expect(retryAfter(outer)).toBe(40)
    advise(middle, { retry: 'elsewhere' })
    expect(adviceOf(outer)).toEqual({ retry: 'elsewhere' })
  })

  it('ends where causes go round in a circle, or on and on', () => {
    const one = new Error('one')
    const two = new Error('two', { cause: one })
    one.cause = two
    expect(adviceOf(one)).toBeUndefined()
    const self = new Error('self')
    self.cause = self
    expect(adviceOf(self)).toBeUndefined()
    let deep: unknown = final()
    for (let i = 0; i < 1_000; i++) deep = new Error(`${i}`, { cause: deep })
    expect(adviceOf(deep)).toBeUndefined()
  })

  it('of never stays, whoever says what after it', () => {
    const error = new Error('lost')
    advise(error, { retry: 'never' })
    advise(error, { retry: 'later', retryAfterMs: 1 })
    expect(isFinal(error)).toBe(true)

    const rejection = final()
    advise(rejection, { retry: 'later' })
    expect(isFinal(rejection)).toBe(true)

    const wrapped = new Error('while saving', { cause: final() })
    advise(wrapped, { retry: 'elsewhere' })
    expect(isFinal(wrapped)).toBe(true)
  })

  it('can turn any other into never', () => {
    const error = soon()
    advise(error, { retry: 'never' })
    expect(isFinal(error)).toBe(true)
    expect(shouldRetry(error)).toBe(false)
  })

  it('leaves what cannot carry it as it is', () => {
    const frozen = Object.freeze(new Error('frozen'))
    for (const value of [frozen, 'text', undefined, null, 3]) {
      expect(() => advise(value, { retry: 'never' })).not.toThrow()
      expect(adviceOf(value)).toBeUndefined()
    }
  })

  it('is read across two installed copies of the kit', async () => {
    const copy = './advice.ts?another-copy'
    const other = (await import(copy)) as typeof import('./advice.ts')
    const error = new Error('unavailable')
    other.advise(error, { retry: 'never' })
    expect(isFinal(error)).toBe(true)
  })
})
