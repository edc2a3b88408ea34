import fc from 'fast-check'
import { expect, test } from 'vitest'
import { retryBudget } from './budget.ts'

test('the arithmetic is that of gRFC A6, for any sequence of results', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 1, max: 2_000 }),
      fc.array(fc.constantFrom('success', 'failure', 'attempt'), { maxLength: 300, size: 'max' }),
      (maxTokens, thousandths, results) => {
        const real = retryBudget({ maxTokens, tokenRatio: thousandths / 1_000 })
        let tokens = maxTokens * 1_000
        for (const result of results) {
          if (result === 'success') {
            tokens = Math.min(maxTokens * 1_000, tokens + thousandths)
            real.succeeded()
          } else if (result === 'failure') {
            tokens = Math.max(0, tokens - 1_000)
            real.failed()
          } else expect(real.withdraw(0)).toBe(tokens > maxTokens * 500)
          expect(real.snapshot().tokens).toBe(tokens / 1_000)
        }
      },
    ),
  )
})
