import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { chain } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { quotas } from './quotas.ts'

const ms = (max: number): fc.Arbitrary<number> => fc.double({ min: 0, max, noNaN: true })
const limit = fc.double({ min: 0.001, max: 500, noNaN: true })

afterEach(() => {
  vi.useRealTimers()
})

test('a call gets the lesser of its quota and what is left less the reserve, or is refused', async () => {
  const timeout = fc.option(ms(600), { nil: undefined })
  await fc.assert(
    fc.asyncProperty(
      limit,
      ms(50),
      ms(50),
      timeout,
      ms(100),
      async (limitMs, reserveMs, minUsefulMs, timeoutMs, passedMs) => {
        const clock = manualClock({ startMs: 0 })
        const context = createContext({ clock, timeoutMs })
        clock.jump(passedMs)
        const quota = quotas({ x: limitMs }, { reserveMs, minUsefulMs })
        const expected = Math.min(passedMs + limitMs, context.deadline - reserveMs)

        const seen = await quota.x
          .run(async ({ deadline }) => deadline, context)
          .catch((error: unknown) => error)
        if (typeof seen === 'number') {
          expect(seen).toBe(expected)
          expect(seen - passedMs).toBeGreaterThanOrEqual(minUsefulMs)
          expect(seen).toBeLessThanOrEqual(context.deadline)
        } else {
          expect(isRejection(seen, 'deadline-exceeded')).toBe(true)
          const left = expected - passedMs
          expect(left < minUsefulMs || left <= 0 || context.ended).toBe(true)
        }
        expect(clock.armed).toBe(0)

        try {
          const whole = quota.x.ms(context)
          expect(whole).toBe(Math.floor(expected - passedMs))
          expect(whole).toBeGreaterThanOrEqual(1)
        } catch (error) {
          expect(isRejection(error, 'deadline-exceeded')).toBe(true)
          expect(expected - passedMs < Math.max(1, minUsefulMs)).toBe(true)
        }
      },
    ),
  )
})

test('however many reserves are nested, no timer is ever set for the past', async () => {
  const level = fc.record({ limitMs: limit, reserveMs: ms(60), minUsefulMs: ms(5) })
  await fc.assert(
    fc.asyncProperty(fc.array(level, { minLength: 1, maxLength: 8 }), ms(300), async (levels, timeoutMs) => {
      const clock = manualClock()
      const armedAt: number[] = []
      const { arm } = clock
      const watched = Object.assign(Object.create(clock), {
        arm: (alarm: Parameters<typeof arm>[0], at: number) => {
          armedAt.push(at - clock.now())
          arm(alarm, at)
        },
      })
      const call = chain(
        ...levels.map(({ limitMs, ...options }) => quotas({ x: limitMs }, options).x.middleware),
      )(async () => 'answer')
      const context = createContext({ clock: watched, timeoutMs })
      await call(undefined, context).catch(() => {})
      for (const inMs of armedAt) expect(inMs).toBeGreaterThan(0)
      expect(clock.armed).toBe(0)
    }),
  )
})

test('the date may jump anywhere at any time: no decision changes', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const date = fc.integer({ min: 0, max: 8_000_000_000_000_000 })
  await fc.assert(
    fc.asyncProperty(fc.array(date, { minLength: 3, maxLength: 3 }), limit, async ([a, b, c], limitMs) => {
      const clock = manualClock({ startMs: 0 })
      const quota = quotas({ x: limitMs })
      vi.setSystemTime(a!)
      const context = createContext({ clock, timeoutMs: 300 })
      let endedAt = -1
      const answer = quota.x
        .run(() => new Promise(() => {}), context)
        .catch(() => {
          endedAt = clock.now()
        })
      vi.setSystemTime(b!)
      await clock.advance(400)
      vi.setSystemTime(c!)
      await answer
      // Below a millisecond the call is refused at once.
      expect(endedAt).toBe(limitMs < 1 ? 0 : Math.min(limitMs, 300))
    }),
    { numRuns: 50 },
  )
})
