import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Context } from '../core/context.ts'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { fixedWindow } from './fixed-window.ts'
import { rateLimit } from './rate-limit.ts'
import { decisionOf } from './refusal.ts'
import { limitDenied, limitNear, nearLimit } from './signals.ts'
import { tokenBucket } from './token-bucket.ts'

const stops: (() => void)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

describe('rateLimit(), on any traffic', () => {
  it('tells that little is left of exactly the grants that leave no more than the part it was told', async () => {
    const call = fc.record({ dt: fc.nat(300), cost: fc.nat(4) })
    const calls = fc.array(call, { maxLength: 40, size: 'max' })
    const ratio = fc.double({ min: 0, max: 1, noNaN: true })
    await fc.assert(
      fc.asyncProperty(fc.nat(12), ratio, calls, fc.boolean(), async (limit, nearRatio, trace, asLayer) => {
        const clock = manualClock()
        const limiter = tokenBucket({ ratePerSecond: 10, burst: limit, clock })
        const near: number[] = []
        const denied: number[] = []
        stops.push(limitNear.on(({ decision }) => near.push(decision.remaining)))
        stops.push(limitDenied.on(({ decision }) => denied.push(decision.remaining)))
        const handler = async (_: number, context: Context) => context.get(nearLimit)?.remaining
        const ask = rateLimit<number, number | undefined>(limiter, {
          cost: cost => cost,
          nearRatio,
          ...(asLayer && { actualCost: (_, cost) => cost }),
        })(handler)
        for (const { dt, cost } of trace) {
          await clock.advance(dt)
          const expected = limiter.peek('', cost)
          const answer = await ask(cost, createContext({ clock })).catch(error => error)
          const told = near.splice(0)
          if (!expected.allowed) {
            expect(isRejection(answer, 'rate-limited')).toBe(true)
            expect([told, denied.splice(0)]).toEqual([[], [expected.remaining]])
            continue
          }
          const left = expected.remaining - cost
          const isNear = left <= limit * nearRatio
          expect([answer, told]).toEqual(isNear ? [left, [left]] : [undefined, []])
          expect(denied).toEqual([])
        }
        for (const stop of stops.splice(0)) stop()
      }),
      { numRuns: 60 },
    )
  })

  it('sends those who are refused together back at different times, none of them too early, and moves no limit by that', async () => {
    // Whoever is told the same time comes back at the same time, and is refused together again.
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60_000 }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
          minLength: 2,
          maxLength: 10,
        }),
        async (windowMs, retryJitterRatio, draws) => {
          const clock = manualClock()
          const limiter = fixedWindow({ limit: 1, windowMs, clock })
          let drawn = 0
          const ask = rateLimit(limiter, { retryJitterRatio, random: () => draws[drawn++]! })(
            async () => 'in',
          )
          const context = createContext({ clock })
          await ask(undefined, context)
          for (const draw of draws) {
            const error = await ask(undefined, context).catch(error => error)
            expect(decisionOf(error)!.retryAfterMs).toBe(windowMs)
            expect(error.retryAfterMs).toBeGreaterThanOrEqual(windowMs)
            expect(error.retryAfterMs).toBeCloseTo(windowMs * (1 + retryJitterRatio * draw), 6)
          }
          expect(drawn).toBe(draws.length)
          await clock.advance(windowMs)
          expect(await ask(undefined, context)).toBe('in')
        },
      ),
      { numRuns: 60 },
    )
  })
})
