/** What is learnt of how long a call takes comes from calls that came out as they should, and from no others. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { adaptive } from './adaptive.ts'
import { bbr } from './bbr.ts'
import { shedCall } from './call.ts'
import { gradient } from './gradient.ts'
import type { Shedder } from './shedder.ts'
import { vegas } from './vegas.ts'

const ms = 20

const shedders: Readonly<Record<string, () => [Shedder, () => number]>> = {
  adaptive() {
    const shedder = adaptive()
    return [shedder, () => shedder.snapshot().routes['']!.baseMs]
  },
  bbr() {
    const shedder = bbr({ cpu: () => 1, loop: () => 1 })
    return [shedder, () => shedder.snapshot().minRtMs]
  },
  gradient() {
    const shedder = gradient({ minSamples: 1, windowMs: 50 })
    return [shedder, () => shedder.snapshot().longMs]
  },
  vegas() {
    const shedder = vegas({ probeMultiplier: 1, random: () => 0 })
    return [shedder, () => shedder.snapshot().baseMs]
  },
}

test.each(Object.entries(shedders))(
  '%s: errors that come at once, losses and refusals do not make calls look quicker',
  (_name, make) => {
    const step = fc.record({
      how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
      fast: fc.double({ min: 0, max: ms - 1, noNaN: true }),
      together: fc.integer({ min: 1, max: 40 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        const [shedder, baseline] = make()
        let now = 10_000
        const serve = (how: 'success' | 'ignore' | 'dropped', took: number, together: number): void => {
          const calls = Array.from({ length: together }, () => shedCall()).filter(
            call => shedder.offer(call, now) === 'run',
          )
          now += took
          for (const call of calls) call[how](now)
          now += ms - took
        }
        for (let i = 0; i < 20; i++) serve('success', ms, 2)
        expect(baseline()).toBeCloseTo(ms)
        for (const { how, fast, together } of steps) {
          serve(how, how === 'success' ? ms : fast, together)
          expect(baseline()).toBeGreaterThanOrEqual(ms - 1e-6)
        }
      }),
    )
  },
)
