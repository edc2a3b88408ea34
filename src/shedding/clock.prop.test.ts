/** What no shedder may do, whatever the times that it is told. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { criticalities } from '../core/criticality.ts'
import { adaptive } from './adaptive.ts'
import { aimd } from './aimd.ts'
import { bbr } from './bbr.ts'
import { type ShedCall, shedCall } from './call.ts'
import { codel } from './codel.ts'
import { fixed } from './fixed.ts'
import { gradient } from './gradient.ts'
import type { Mode, Shedder } from './shedder.ts'
import { vegas } from './vegas.ts'

interface Made {
  readonly shedder: Shedder
  /** Whatever it reads of the machine: calm, or not. */
  press(pressed: boolean): void
}

const plain = (shedder: Shedder): Made => ({ shedder, press() {} })

const makers: Readonly<Record<string, () => Made>> = {
  adaptive: () => plain(adaptive()),
  fixed: () => plain(fixed({ limit: 8 })),
  aimd: () => plain(aimd({ minLimit: 4 })),
  gradient: () => plain(gradient()),
  vegas: () => plain(vegas({ minLimit: 4, random: () => 0.5 })),
  bbr() {
    let use = 0
    return {
      shedder: bbr({ cpu: () => use, loop: () => use }),
      press(pressed) {
        use = pressed ? 1 : 0
      },
    }
  },
  codel() {
    let delayMs = 0
    return {
      shedder: codel({ delayMs: () => delayMs }),
      press(pressed) {
        delayMs = pressed ? 500 : 0
      },
    }
  },
}

const HOUR = 3_600_000
const jumps = [0, 1, 50, 1_000, 30_000, HOUR / 6, -1, -50, -HOUR / 6, -24 * HOUR, 24 * HOUR]

type Step =
  | { readonly offer: number; readonly tenant: string | undefined; readonly attempt: number }
  | { readonly finish: number; readonly how: 'success' | 'ignore' | 'dropped' }
  | { readonly jump: number }
  | { readonly pressed: boolean }
  | { readonly mode: Mode }
  | 'reset'

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      offer: fc.integer({ min: 0, max: 3 }),
      tenant: fc.constantFrom(undefined, 'a', 'b'),
      attempt: fc.constantFrom(1, 2),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      finish: fc.nat(),
      how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ jump: fc.constantFrom(...jumps) }) },
  { weight: 1, arbitrary: fc.record({ pressed: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      mode: fc.constantFrom('enforce' as const, 'enforce' as const, 'observe' as const, 'off' as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant('reset' as const) },
)

describe.each(Object.entries(makers))('%s', (name, make) => {
  test('jumps of the clock, switches and losses leave limits and counts in their bounds, and a calm load unharmed', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250, size: 'max' }), steps => {
        const { shedder, press } = make()
        let now = 10_000 * HOUR
        const open: ShedCall[] = []
        const offer = (call: ShedCall): string => {
          const verdict = shedder.offer(call, now)
          if (call.counts) open.push(call)
          return verdict
        }
        for (const step of steps) {
          if (step === 'reset') shedder.reset()
          else if ('jump' in step) now += step.jump
          else if ('pressed' in step) press(step.pressed)
          else if ('mode' in step) shedder.update({ mode: step.mode })
          else if ('offer' in step) {
            const { tenant, attempt } = step
            offer(shedCall({ criticality: criticalities[step.offer]!, tenant, attempt }))
          } else if (open.length > 0) {
            const [call] = open.splice(step.finish % open.length, 1)
            call![step.how](now)
          }
          const { limit, inFlight } = shedder.snapshot()
          expect(inFlight).toBe(open.length)
          expect(Number.isNaN(limit)).toBe(false)
          expect(limit).toBeGreaterThanOrEqual(name === 'bbr' ? 0 : 4)
          const pressure = shedder.pressure(now)
          expect(pressure).toBeGreaterThanOrEqual(0)
          expect(pressure).toBeLessThanOrEqual(1)
        }
        for (const call of open.splice(0)) call.success(now)
        expect(shedder.snapshot().inFlight).toBe(0)
        // One call at a time, on a machine that is calm, two seconds later: nobody is refused.
        press(false)
        shedder.update({ mode: 'enforce' })
        now += 2_000
        for (let i = 0; i < 50; i++) {
          const call = shedCall()
          if (name === 'adaptive' && (shedder as ReturnType<typeof adaptive>).queued > 0) break
          expect(offer(call)).toBe('run')
          now += 5
          call.success(now)
          open.length = 0
        }
        expect(shedder.isOverloaded(now + 1_000)).toBe(false)
      }),
      { numRuns: 100 },
    )
  })
})
