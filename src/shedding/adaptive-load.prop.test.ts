/** What holds for any load, in virtual time. Seeds are fixed: each run is a sample of a random process. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type HandlerName, handlers, simulate } from '../../test/support/overload.ts'
import { adaptive } from './adaptive.ts'

/** Those whose calls are alike. Where one call in ten is 30 times as dear as the others, chance alone makes bursts. */
const names: readonly HandlerName[] = ['cpu', 'mixed', 'pool', 'deferred', 'post']
const name = fc.constantFrom(...names)
const seed = fc.integer()

test('below half of the capacity nobody is refused, with any single pause of up to 100 ms', () => {
  fc.assert(
    fc.property(
      fc.record({ name, seed, load: fc.double({ min: 0.05, max: 0.5, noNaN: true }) }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1_000, max: 3_000 }),
      ({ name, seed, load }, pauseMs, everyMs) => {
        const shedder = adaptive()
        const report = simulate({
          handler: handlers[name],
          loads: [[load, 4]],
          shedder,
          seed,
          pause: [pauseMs, everyMs],
        })
        expect(report.phases[0]!.refused).toBe(0)
        expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
      },
    ),
    { numRuns: 60, seed: 1 },
  )
})

test('a second after any load whatever has gone, and less than seven tenths of the capacity are asked for, nobody is refused', () => {
  const phase = fc.tuple(fc.double({ min: 0, max: 8, noNaN: true }), fc.constantFrom(0.1, 0.5, 1.5))
  fc.assert(
    fc.property(name, seed, fc.array(phase, { minLength: 1, maxLength: 5 }), (name, seed, before) => {
      const shedder = adaptive()
      const report = simulate({
        handler: handlers[name],
        loads: [...before.map(([load, seconds]) => [load + 0.01, seconds] as const), [0.69, 1], [0.69, 2]],
        shedder,
        seed,
        pause: [30, 700],
      })
      expect(report.phases.at(-1)!.refused).toBe(0)
      const { inFlight, queued, limit } = shedder.snapshot()
      expect({ inFlight, queued }).toEqual({ inFlight: 0, queued: 0 })
      expect(limit).toBeGreaterThanOrEqual(4)
    }),
    { numRuns: 60, seed: 1 },
  )
})

test('more calls that matter less take nothing from those that matter more, and no more is served than can be', () => {
  fc.assert(
    fc.property(name, seed, fc.double({ min: 0, max: 4, noNaN: true }), (name, seed, more) => {
      const handler = handlers[name]
      const critical = 0.6
      const report = simulate({
        handler,
        // What a call takes is learnt in the first second.
        loads: [
          [critical, 1],
          [critical + more, 4],
        ],
        shedder: adaptive(),
        seed,
        traits: random => ({
          criticality: random() * (critical + more) < critical ? 'critical' : 'sheddable',
        }),
      })
      const { good, sent } = report.by(1, traits => traits.criticality!).get('critical')!
      expect(good / sent).toBeGreaterThanOrEqual(0.99)
      // What comes through, and the queue that is left when the load ends.
      expect(report.phases[1]!.answered).toBeLessThanOrEqual(handler.capacity * (4 + 0.2) + 64)
    }),
    { numRuns: 40, seed: 1 },
  )
})
