import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { bulkhead } from './bulkhead.ts'

const arrival = fc.record({
  afterMs: fc.nat(8),
  worksMs: fc.nat(30),
  /** Whether the handler stops when its call has ended. */
  heeds: fc.boolean(),
  fails: fc.boolean(),
  timeoutMs: fc.constantFrom(3, 12, 40, undefined),
  abortAfterMs: fc.constantFrom(0, 5, 20, undefined),
})

describe('a bulkhead under any traffic', () => {
  it('keeps its limits, leaves nobody waiting and nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { minLength: 1, maxLength: 25, size: 'max' }),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(4),
        fc.constantFrom('work' as const, 'answer' as const),
        async (arrivals, limit, queue, holdUntil) => {
          const clock = manualClock({ startMs: 0 })
          const maxWaitMs = 25
          const limited = bulkhead({ limit, queue, maxWaitMs, holdUntil })
          let running = 0
          let most = 0
          const endless = createContext({ clock })
          const call = limited(
            async (request: { heeds: boolean; worksMs: number; fails: boolean; came: number }, context) => {
              running++
              most = Math.max(most, running)
              expect(clock.now() - request.came).toBeLessThanOrEqual(maxWaitMs)
              try {
                await sleep(request.heeds ? context : endless, request.worksMs)
                if (request.fails) throw new Error('failed')
              } finally {
                running--
              }
            },
          )
          const outcomes: Promise<unknown>[] = []
          const signals: AbortSignal[] = []
          for (const { afterMs, timeoutMs, abortAfterMs, ...request } of arrivals) {
            await clock.advance(afterMs)
            const controller = new AbortController()
            signals.push(controller.signal)
            const came = clock.now()
            const context = createContext({ clock, timeoutMs, signal: controller.signal })
            const waits = call({ ...request, came }, context).then(
              () => 'done',
              (error: unknown) => {
                if (isRejection(error, 'bulkhead-full')) {
                  expect(clock.now() - came).toBeLessThanOrEqual(maxWaitMs)
                }
                if (!context.ended) return
                expect(clock.now() - came).toBeLessThanOrEqual(
                  Math.min(timeoutMs ?? Infinity, abortAfterMs ?? Infinity),
                )
              },
            )
            outcomes.push(waits)
            if (abortAfterMs !== undefined) {
              void sleep(endless, abortAfterMs).then(() => controller.abort(new Error('gone')))
            }
            const { active, waiting } = limited.snapshot()
            expect(active).toBeLessThanOrEqual(limit)
            expect(waiting).toBeLessThanOrEqual(queue)
            if (active < limit) expect(waiting).toBe(0)
          }
          await clock.advance(1_000)
          await Promise.all(outcomes)
          if (holdUntil === 'work') expect(most).toBeLessThanOrEqual(limit)
          const end = limited.snapshot()
          expect(end).toMatchObject({ active: 0, waiting: 0 })
          expect(end.admitted + end.refused + end.expired + end.dropped + end.left).toBeLessThanOrEqual(
            arrivals.length,
          )
          expect(clock.armed).toBe(0)
          for (const signal of signals) expect(getEventListeners(signal, 'abort')).toHaveLength(0)
        },
      ),
      { numRuns: 60 },
    )
  })
})
