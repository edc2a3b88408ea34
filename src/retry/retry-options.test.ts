import { expect, test } from 'vitest'
import { backoff } from './backoff.ts'
import { retryBudget } from './budget.ts'
import { budgetOption, checkRetry, idempotentOption, type RetryOptions } from './retry-options.ts'

const half = (): number => 0.5

test('what is left out has its default', () => {
  const settings = checkRetry({})
  expect(settings).toMatchObject({ attempts: 3, idempotent: undefined, minUsefulMs: 1, maxHintMs: 60_000 })
  expect(settings).toMatchObject({
    maxRetryTime: Infinity,
    keepAlive: true,
    signal: undefined,
    name: 'retry',
  })
  expect(settings.backoff(1, 0, half)).toBe(25)
  expect(settings.overloadBackoff(1, 0, half)).toBe(500)
  expect(settings.budget?.snapshot()).toMatchObject({ balance: 10 })
})

test('the waits of p-retry make a backoff in its manner, for every kind of failure', () => {
  const settings = checkRetry({ minTimeout: 100, factor: 3, maxTimeout: 1_000 })
  for (const made of [settings.backoff, settings.overloadBackoff]) {
    expect([1, 2, 3, 4].map(attempt => made(attempt, 0, half))).toEqual([100, 300, 900, 1_000])
  }
  expect(checkRetry({ minTimeout: 100, randomize: true }).backoff(1, 0, half)).toBe(150)
  // Its defaults, where only one of them is given.
  expect(checkRetry({ factor: 2 }).backoff(3, 0, half)).toBe(4_000)
  // It takes a factor of nothing for none.
  expect(checkRetry({ factor: 0 }).backoff(3, 0, half)).toBe(1_000)
  expect(checkRetry({ minTimeout: 1_000 }).backoff(100, 0, half)).toBe(2 ** 31 - 1)
})

test('its count of retries is one less than the attempts, and may be endless', () => {
  expect(checkRetry({ retries: 0 }).attempts).toBe(1)
  expect(checkRetry({ retries: 10 }).attempts).toBe(11)
  expect(checkRetry({ retries: Infinity }).attempts).toBe(Infinity)
  expect(checkRetry({ unref: true }).keepAlive).toBe(false)
})

test('a budget is shared, left out or one of its own', () => {
  const shared = retryBudget()
  expect(budgetOption(shared)).toBe(shared)
  expect(budgetOption(false)).toBeUndefined()
  expect(budgetOption(undefined)).not.toBe(budgetOption(undefined))
  expect(() => budgetOption({} as never)).toThrow('Expected `budget.withdraw` to be a function')
})

test('whether a call is idempotent is a yes, a no or a rule', () => {
  const rule = (): boolean => true
  for (const idempotent of [undefined, true, false, rule])
    expect(idempotentOption(idempotent)).toBe(idempotent)
  expect(() => idempotentOption('GET' as never)).toThrow('Expected `idempotent` to be a function, got "GET"')
})

test('every option is checked, and the message names it', () => {
  const bad: readonly [RetryOptions, string][] = [
    [{ attempts: 0 }, '`attempts`'],
    [{ attempts: 1.5 }, '`attempts`'],
    [{ retries: -1 }, '`retries`'],
    [{ retries: Number.NaN }, '`retries`'],
    [{ minTimeout: -1 }, '`minTimeout`'],
    [{ maxTimeout: Number.NaN }, '`maxTimeout`'],
    [{ factor: Infinity }, '`factor`'],
    [{ maxRetryTime: -1 }, '`maxRetryTime`'],
    [{ minUsefulMs: -1 }, '`minUsefulMs`'],
    [{ maxHintMs: Number.NaN }, '`maxHintMs`'],
    [{ backoff: 5 as never }, '`backoff`'],
    [{ overloadBackoff: 5 as never }, '`overloadBackoff`'],
    [{ onFailedAttempt: 5 as never }, '`onFailedAttempt`'],
    [{ shouldConsumeRetry: 5 as never }, '`shouldConsumeRetry`'],
    [{ random: 5 as never }, '`random`'],
    [{ name: '' }, '`name`'],
  ]
  for (const [options, named] of bad) expect(() => checkRetry(options)).toThrow(`Expected ${named} to be`)
  expect(() => checkRetry({ attempts: 3, retries: 2 })).toThrow('either `attempts` or `retries`')
  expect(() => checkRetry({ backoff: backoff.stop, factor: 2 })).toThrow('either `backoff` or the waits')
  expect(() => checkRetry({ forever: true } as never)).toThrow('retry has no option `forever`')
})
