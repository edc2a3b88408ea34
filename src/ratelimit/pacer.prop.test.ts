import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type OpenContext, openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { pacer } from './pacer.ts'

interface Waiting {
  readonly id: number
  readonly since: number
}

/**
 * The same, one millisecond at a time: whoever is first goes at the first moment that is an interval after the last
 * departure.
 */
function naive(interval: number) {
  let free = 0
  const line: Waiting[] = []
  const went: string[] = []
  return {
    line,
    went,
    free: () => free,
    tick(now: number) {
      while (line.length > 0 && now >= Math.max(free, line[0]!.since)) {
        went.push(`${line.shift()!.id} at ${now}`)
        free = now + interval
      }
    },
  }
}

describe('pacer, whoever comes and stops waiting', () => {
  it('lets each go at the moment at which a naive queue does', async () => {
    const step = fc.record({
      dt: fc.nat(30),
      // Whom to cancel, counted from the end of the line; nobody, mostly.
      cancel: fc.option(fc.nat(5), { freq: 3 }),
      arrivals: fc.nat(3),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 5, 20),
        fc.nat(200),
        fc.array(step, { maxLength: 40, size: 'max' }),
        async (interval, maxWaitMs, steps) => {
          const clock = manualClock()
          const limiter = pacer({
            ratePerSecond: 1000 / interval,
            maxWaitMs,
            maxQueue: 12,
            catchUpMs: 0,
            clock,
          })
          const model = naive(interval)
          const start = clock.now()
          const went: string[] = []
          const open = new Map<number, OpenContext>()
          let id = 0
          for (const { dt, cancel, arrivals } of steps) {
            for (let i = 0; i < dt; i++) {
              await clock.advance(1)
              model.tick(clock.now() - start)
            }
            const now = clock.now() - start
            if (cancel !== null && model.line.length > cancel) {
              const [gone] = model.line.splice(model.line.length - 1 - cancel, 1)
              open.get(gone!.id)!.cancel()
            }
            for (let i = 0; i < arrivals; i++) {
              const mine = ++id
              const context = openContext({ clock })
              open.set(mine, context)
              const answer = limiter.take('', 1, context.context)
              const wait = Math.max(0, model.free() - now) + model.line.length * interval
              const accepted = wait === 0 || (wait <= maxWaitMs && model.line.length < 12)
              if (accepted) model.line.push({ id: mine, since: now })
              model.tick(now)
              if (answer instanceof Promise)
                answer.then(
                  () => went.push(`${mine} at ${clock.now() - start}`),
                  () => {},
                )
              else if (answer.allowed) went.push(`${mine} at ${now}`)
              expect(answer instanceof Promise || answer.allowed).toBe(accepted)
              expect(limiter.snapshot().waiting).toBe(model.line.length)
              expect(clock.armed).toBeLessThanOrEqual(1)
            }
          }
          for (let i = 0; i <= 12 * interval; i++) {
            await clock.advance(1)
            model.tick(clock.now() - start)
          }
          expect(went).toEqual(model.went)
          expect(clock.armed).toBe(0)
          expect(limiter.snapshot()).toMatchObject({ waiting: 0, lines: 0 })
        },
      ),
      { numRuns: 40 },
    )
  })

  it('keeps its bound over every interval, however late the timers ring', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 3, 10),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(20),
        fc.array(fc.record({ jump: fc.nat(60), arrivals: fc.nat(8) }), { maxLength: 40, size: 'max' }),
        async (interval, burst, catchUpMs, steps) => {
          const clock = manualClock()
          const limiter = pacer({ ratePerSecond: 1000 / interval, burst, catchUpMs, clock })
          const went: number[] = []
          for (const { jump, arrivals } of steps) {
            clock.jump(jump)
            await clock.advance(0)
            for (let i = 0; i < arrivals; i++) {
              const answer = limiter.take('')
              if (answer instanceof Promise) answer.then(() => went.push(clock.now()))
              else if (answer.allowed) went.push(clock.now())
            }
          }
          await clock.advance(10_000)
          for (const [i, first] of went.entries()) {
            for (const [j, last] of went.slice(i).entries()) {
              expect(j + 1).toBeLessThanOrEqual(
                Math.floor((last - first + catchUpMs) / interval + 1e-9) + burst,
              )
            }
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('lets each key go as a naive bucket would, whatever bursts, costs and other keys there are, and charges no denial', async () => {
    interface Waiter {
      readonly id: number
      readonly cost: number
    }
    const arrival = fc.record({ key: fc.constantFrom('a', '__proto__'), cost: fc.nat(4) })
    const step = fc.record({ dt: fc.nat(25), arrivals: fc.array(arrival, { maxLength: 3 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 4, 10),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(60),
        fc.array(step, { maxLength: 30, size: 'max' }),
        async (interval, burst, maxWaitMs, steps) => {
          const clock = manualClock()
          const limiter = pacer({ ratePerSecond: 1000 / interval, burst, maxWaitMs, catchUpMs: 0, clock })
          const start = clock.now()
          const model = new Map(['a', '__proto__'].map(key => [key, { tat: 0, line: [] as Waiter[] }]))
          const expected: string[] = []
          const went: string[] = []
          const tick = (now: number): void => {
            for (const each of model.values()) {
              for (let first = each.line[0]; first !== undefined; first = each.line[0]) {
                const next = Math.max(each.tat, now) + first.cost * interval
                if (next - now > burst * interval) break
                each.tat = next
                each.line.shift()
                expected.push(`${first.id} at ${now}`)
              }
            }
          }
          let id = 0
          const pass = async (): Promise<void> => {
            await clock.advance(1)
            tick(clock.now() - start)
          }
          for (const { dt, arrivals } of steps) {
            for (let i = 0; i < dt; i++) await pass()
            const now = clock.now() - start
            for (const { key, cost } of arrivals) {
              const mine = ++id
              const each = model.get(key)!
              const ahead = each.line.reduce((sum, waiter) => sum + waiter.cost, 0)
              const wait = Math.max(each.tat, now) + (ahead + cost - burst) * interval - now
              const denied = cost > burst || (cost > 0 && wait > maxWaitMs)
              const answer = limiter.take(key, cost)
              if (denied) {
                expect(answer).toMatchObject({
                  allowed: false,
                  retryAfterMs: cost > burst ? Infinity : wait - maxWaitMs,
                })
                continue
              }
              if (cost > 0) each.line.push({ id: mine, cost })
              tick(now)
              if (answer instanceof Promise) answer.then(() => went.push(`${mine} at ${clock.now() - start}`))
              else if (cost > 0) went.push(`${mine} at ${now}`)
              const waiting = [...model.values()].reduce((sum, { line }) => sum + line.length, 0)
              expect(limiter.snapshot().waiting).toBe(waiting)
            }
          }
          for (let i = 0; i <= 60 + 4 * interval; i++) await pass()
          const byId = (a: string, b: string): number => Number.parseInt(a, 10) - Number.parseInt(b, 10)
          expect(went.sort(byId)).toEqual(expected.sort(byId))
          expect(limiter.snapshot()).toMatchObject({ waiting: 0, lines: 0 })
          expect(clock.armed).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  })
})
