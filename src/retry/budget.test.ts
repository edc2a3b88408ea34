import { describe, expect, test } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { retryBudget } from './budget.ts'

describe('a share of the calls', () => {
  test('a tenth of them, and ten at once for a start', () => {
    const budget = retryBudget()
    const allowed = (now: number): number => {
      let count = 0
      while (budget.withdraw(now)) count++
      return count
    }
    expect(allowed(0)).toBe(10)
    budget.deposit(0, 1_000)
    expect(allowed(0)).toBe(100)
    expect(allowed(0)).toBe(0)
    expect(allowed(3_000)).toBe(3)
  })

  test('what calls leave is lost after ten seconds', () => {
    const budget = retryBudget({ ratio: 0.5, minPerSecond: 0 })
    budget.deposit(1_000, 100)
    expect(budget.withdraw(10_999)).toBe(true)
    expect(budget.withdraw(11_000)).toBe(false)
  })

  test('a tenth, added ten times a thousand times, is exactly a thousand', () => {
    const budget = retryBudget({ ratio: 0.1, minPerSecond: 0 })
    for (let i = 0; i < 10_000; i++) budget.deposit(0, 1)
    for (let i = 0; i < 1_000; i++) expect(budget.withdraw(0)).toBe(true)
    expect(budget.withdraw(0)).toBe(false)
  })

  test('settings change while calls are made, all of them or none', () => {
    const budget = retryBudget({ ratio: 0.1, minPerSecond: 0 })
    budget.deposit(0, 100)
    expect(() => budget.update({ ratio: 0.2, ttlMs: 0 })).toThrow(
      'Expected `ttlMs` to be a number above 0, got 0',
    )
    expect(budget.snapshot().balance).toBe(10)
    budget.update({ ratio: 0.2 })
    budget.deposit(0, 100)
    expect(budget.snapshot()).toEqual({ balance: 30, calls: 200, withdrawn: 0, refused: 0 })
    budget.update({ ttlMs: 5_000 })
    expect(budget.snapshot().balance).toBe(0)
    budget.update({ minPerSecond: 2 })
    expect(budget.withdraw(60_000)).toBe(true)
    budget.reset()
    expect(budget.snapshot()).toEqual({ balance: 10, calls: 0, withdrawn: 0, refused: 0 })
  })
})

describe('the tokens of gRPC', () => {
  test('further attempts stop at half of the tokens, and are allowed again once calls succeed', () => {
    const budget = retryBudget({ maxTokens: 4, tokenRatio: 0.5 })
    budget.failed()
    expect(budget.withdraw(0)).toBe(true)
    budget.failed()
    expect(budget.withdraw(0)).toBe(false)
    budget.succeeded()
    expect(budget.withdraw(0)).toBe(true)
    expect(budget.snapshot()).toEqual({ tokens: 2.5, calls: 0, withdrawn: 2, refused: 1 })
  })

  test('settings change, and reset fills it', () => {
    const budget = retryBudget({ maxTokens: 100 })
    expect(() => budget.update({ maxTokens: 2_000 })).toThrow('maxTokens')
    budget.update({ maxTokens: 10, tokenRatio: 1 })
    for (let i = 0; i < 20; i++) budget.failed()
    budget.succeeded()
    expect(budget.snapshot().tokens).toBe(1)
    budget.reset()
    expect(budget.snapshot().tokens).toBe(10)
  })
})

test('options are checked', () => {
  expect(() => retryBudget({ ratio: -1 })).toThrow('Expected `ratio` to be a number from 0 to 1000, got -1')
  expect(() => retryBudget({ minPerSecond: Number.NaN })).toThrow('minPerSecond')
  expect(() => retryBudget({ maxTokens: 0 })).toThrow(
    'Expected `maxTokens` to be a number above 0 to 1000, got 0',
  )
  expect(() => retryBudget({ maxTokens: 10, ratio: 0.1 } as never)).toThrow('has no option `ratio`')
})

test('one with a name is listed', () => {
  const budgets = [
    retryBudget({ name: 'listed-ratio' }),
    retryBudget({ name: 'listed-tokens', maxTokens: 10 }),
  ]
  const names = inspect().map(line => line.name)
  for (const budget of budgets) expect(names).toContain(budget.name)
})
