import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Context, createContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { singleflight } from './singleflight.ts'

interface ModelFlight {
  readonly id: number
  readonly startedAt: number
  waiters: number[]
  state: 'going' | 'landed' | 'called off'
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      key: fc.constantFrom('a', 'b'),
      timeoutMs: fc.constantFrom(7, 23, undefined),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), which: fc.nat(20) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('land' as const), which: fc.nat(20), fails: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), key: fc.constantFrom('a', 'b') }) },
)

describe('a flight', () => {
  it('is shared, left and called off as the plainest model says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.constantFrom(12, Infinity),
        async (steps, maxAgeMs) => {
          const clock = manualClock({ startMs: 0 })
          const shared = singleflight({ key: request => request as string, maxAgeMs })
          const works: (Deferred<string> & { context: Context })[] = []
          const call = shared((_request, context: Context) => {
            const work = { ...defer<string>(), context }
            works.push(work)
            return work.promise
          })

          const flights: ModelFlight[] = []
          const joinable = new Map<string, ModelFlight>()
          const callers: { expected: string; got: string; deadline: number; controller: AbortController }[] =
            []
          const leave = (id: number): void => {
            for (const flight of flights) {
              if (!flight.waiters.includes(id)) continue
              flight.waiters = flight.waiters.filter(other => other !== id)
              if (flight.waiters.length > 0) continue
              flight.state = 'called off'
              for (const [key, held] of joinable) if (held === flight) joinable.delete(key)
            }
          }

          for (const next of steps) {
            if (next.do === 'call') {
              const id = callers.length
              const controller = new AbortController()
              const deadline = next.timeoutMs === undefined ? Infinity : clock.now() + next.timeoutMs
              const caller = { expected: 'waits', got: 'waits', deadline, controller }
              callers.push(caller)
              let flight = joinable.get(next.key)
              if (flight === undefined || clock.now() - flight.startedAt > maxAgeMs) {
                flight = { id: flights.length, startedAt: clock.now(), waiters: [], state: 'going' }
                flights.push(flight)
                joinable.set(next.key, flight)
              }
              flight.waiters.push(id)
              const context = createContext({ clock, signal: controller.signal, timeoutMs: next.timeoutMs })
              call(next.key, context).then(
                value => {
                  caller.got = value
                },
                error => {
                  caller.got =
                    error instanceof Error && !('reason' in error)
                      ? error.message
                      : String(error.reason ?? error)
                },
              )
            }
            if (next.do === 'abort') {
              const waiting = callers.filter(caller => caller.expected === 'waits')
              const caller = waiting[next.which % waiting.length]
              if (caller !== undefined) {
                caller.expected = 'gone'
                caller.controller.abort('gone')
                leave(callers.indexOf(caller))
              }
            }
            if (next.do === 'land') {
              const going = flights.filter(flight => flight.state === 'going')
              const flight = going[next.which % going.length]
              if (flight !== undefined) {
                const outcome = next.fails ? `failed ${flight.id}` : `done ${flight.id}`
                flight.state = 'landed'
                for (const id of flight.waiters) callers[id]!.expected = outcome
                flight.waiters = []
                for (const [key, held] of joinable) if (held === flight) joinable.delete(key)
                if (next.fails) works[flight.id]!.reject(new Error(outcome))
                else works[flight.id]!.resolve(outcome)
              }
            }
            if (next.do === 'wait') {
              const until = clock.now() + next.ms
              callers.forEach((caller, id) => {
                if (caller.expected !== 'waits' || caller.deadline > until) return
                caller.expected = 'deadline-exceeded'
                leave(id)
              })
              await clock.advance(next.ms)
            }
            if (next.do === 'forget') {
              joinable.delete(next.key)
              shared.forget(next.key)
            }
            await clock.flush()

            expect(callers.map(caller => caller.got)).toEqual(callers.map(caller => caller.expected))
            expect(works.length).toBe(flights.length)
            expect(shared.snapshot().flights).toBe(joinable.size)
            for (const flight of flights) {
              const { context } = works[flight.id]!
              if (flight.state === 'called off') expect(context.ended).toBe(true)
              if (flight.state !== 'going') continue
              expect(context.ended).toBe(false)
              const latest = Math.max(...flight.waiters.map(id => callers[id]!.deadline))
              expect(context.deadline).toBeGreaterThanOrEqual(latest)
            }
          }

          for (const { controller } of callers) controller.abort('gone')
          await clock.flush()
          expect(shared.snapshot()).toMatchObject({ flights: 0, waiting: 0 })
          expect(clock.armed).toBe(0)
          for (const { controller } of callers)
            expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
        },
      ),
      { numRuns: 100 },
    )
  })
})
