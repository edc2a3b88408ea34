import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { fault } from './fault.ts'

const rule = fc.record({
  percent: fc.constantFrom(0, 20, 50, 100),
  caller: fc.constantFrom(undefined, 'a', 'b'),
})

describe('the rules of a fault', () => {
  it('are asked in order, each with a lot of its own, and the first to hit decides', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(rule, { maxLength: 4, size: 'max' }),
        fc.array(fc.constantFrom('a', 'b', undefined), { maxLength: 20, size: 'max' }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), {
          minLength: 80,
          maxLength: 80,
          size: 'max',
        }),
        async (rules, callers, lots) => {
          let drawn = 0
          const broken = fault({
            enabled: true,
            random: () => lots[drawn++]!,
            rules: rules.map(({ percent, caller }) => ({
              percent,
              abort: 'never' as const,
              ...(caller === undefined ? {} : { callers: [caller] }),
            })),
          })
          const call = broken(async () => 'works')
          let asked = 0
          const hits: Record<string, number> = {}
          for (const caller of callers) {
            const expected = rules.findIndex(
              rule =>
                (rule.caller === undefined || rule.caller === caller) && lots[asked++]! * 100 < rule.percent,
            )
            const outcome = await call(undefined, createContext({ caller })).catch((error: unknown) => error)
            if (expected < 0) expect(outcome).toBe('works')
            else {
              expect(isRejection(outcome) && outcome.detail).toBe(String(expected))
              hits[expected] = (hits[expected] ?? 0) + 1
            }
          }
          expect(drawn).toBe(asked)
          expect(broken.snapshot()).toMatchObject({ calls: callers.length, injected: hits })
        },
      ),
      { numRuns: 200 },
    )
  })
})
