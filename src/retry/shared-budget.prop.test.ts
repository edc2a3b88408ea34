import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/index.ts'
import { retryBudget } from './budget.ts'
import { hedge } from './hedge.ts'
import { retry } from './retry.ts'

const call = fc.record({
  by: fc.constantFrom('retry' as const, 'hedge' as const, 'patient hedge' as const),
  afterMs: fc.nat({ max: 40 }),
  /** How long each attempt takes, and whether it fails. */
  turns: fc.array(fc.record({ ms: fc.nat({ max: 60 }), fails: fc.boolean() }), {
    minLength: 4,
    maxLength: 4,
  }),
  abortAfterMs: fc.constantFrom(undefined, undefined, 0, 15, 40),
})

test('retries and hedges of one backend take from one budget, and all of them together keep to its bound', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(call, { minLength: 1, maxLength: 60, size: 'max' }),
      fc.constantFrom(0, 0.1, 0.5),
      fc.constantFrom(0, 5),
      async (calls, ratio, minPerSecond) => {
        const clock = manualClock({ startMs: 0 })
        const ttlMs = 500
        const budget = retryBudget({ ratio, minPerSecond, ttlMs })
        const further: number[] = []
        const first: number[] = []
        const handler: Handler<(typeof calls)[number], string> = async ({ turns }, context) => {
          ;(context.attempt === 1 ? first : further).push(clock.now())
          const { ms, fails } = turns[context.attempt - 1]!
          await sleep(context, ms)
          if (fails) throw Object.assign(new Error('down'), { status: 503 })
          return 'answer'
        }
        const options = { attempts: 4, idempotent: true, budget }
        const protects = {
          retry: retry({ ...options, random: () => 0.5 })(handler),
          hedge: hedge({ ...options, delayMs: 10 })(handler),
          'patient hedge': hedge({ ...options, delayMs: 45 })(handler),
        }
        let over = 0
        for (const next of calls) {
          await clock.advance(next.afterMs)
          const open = openContext({ clock, timeoutMs: 400 })
          const ended = (): void => {
            over++
            open.close()
          }
          protects[next.by](next, open.context).then(ended, ended)
          if (next.abortAfterMs !== undefined) {
            const ring = (): void => open.cancel('gone')
            clock.arm(
              { at: 0, keepAlive: false, next: undefined, previous: undefined, ring },
              clock.now() + next.abortAfterMs,
            )
          }
        }
        await clock.advance(1_000)
        expect(over).toBe(calls.length)
        expect(clock.armed).toBe(0)

        // Every call counts once, and every further attempt has been paid for.
        const { calls: counted, withdrawn } = budget.snapshot()
        expect(first.length).toBe(calls.length)
        expect(counted).toBe(calls.length)
        expect(further.length).toBeLessThanOrEqual(withdrawn)
        // A wait before an attempt that was paid for may be cut short: of hedges nothing is.
        if (calls.every(({ by }) => by !== 'retry')) expect(further.length).toBe(withdrawn)
        for (const from of [0, ...further]) {
          for (const until of further) {
            if (until < from) continue
            const made = further.filter(at => at >= from && at <= until).length
            // A wait before an attempt is 200 ms at most, and it is paid for before the wait.
            const earliest = from - 200
            const paying = first.filter(at => at > earliest - ttlMs && at <= until).length
            const bound = ratio * paying + (minPerSecond * (until - earliest + ttlMs)) / 1_000
            expect(made).toBeLessThanOrEqual(bound + 1e-6)
          }
        }
      },
    ),
    { numRuns: 150 },
  )
})
