import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createContext } from '../core/context.ts'
import { manualClock } from './manual-clock.ts'
import { settled } from './settled.ts'
import { simulatedBackend } from './simulated-backend.ts'

const arrival = fc.record({
  afterMs: fc.nat({ max: 20 }),
  latencyMs: fc.nat({ max: 30 }),
  fails: fc.boolean(),
  timeoutMs: fc.option(fc.nat({ max: 60 }), { nil: undefined }),
})

test('no slot is given twice or left empty while somebody waits, and every call is counted once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { maxLength: 15 }),
      fc.integer({ min: 1, max: 4 }),
      async (arrivals, slots) => {
        const clock = manualClock({ startMs: 0 })
        const backend = simulatedBackend<number, string>({
          clock,
          slots,
          script: ({ number }) => {
            const { latencyMs, fails } = arrivals[number - 1]!
            return fails ? { latencyMs, fail: new Error('failed') } : { latencyMs, answer: 'ok' }
          },
        })
        const consistent = (): void => {
          const { calls, inFlight, maxInFlight, queued, answered, failed, cancelled } = backend.snapshot()
          expect(calls).toBe(inFlight + queued + answered + failed + cancelled)
          expect(inFlight).toBeLessThanOrEqual(slots)
          expect(maxInFlight).toBeLessThanOrEqual(slots)
          if (inFlight < slots) expect(queued).toBe(0)
        }
        const outcomes: Promise<unknown>[] = []
        for (const [i, { afterMs, timeoutMs }] of arrivals.entries()) {
          await clock.advance(afterMs)
          outcomes.push(
            backend(i, createContext({ clock, timeoutMs: timeoutMs === 0 ? undefined : timeoutMs })),
          )
          outcomes.at(-1)!.catch(() => {})
          consistent()
        }
        await clock.advance(1_000)
        consistent()
        const ends = await Promise.allSettled(outcomes)
        expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(backend.answered)
        await settled({ clock, mechanisms: [backend] })
      },
    ),
    { numRuns: 200 },
  )
})
