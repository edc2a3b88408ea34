import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { adaptive } from './adaptive.ts'
import { aimd } from './aimd.ts'
import { bbr } from './bbr.ts'
import { type ShedCall, shedCall } from './call.ts'
import { codel } from './codel.ts'
import { fixed } from './fixed.ts'
import { gradient } from './gradient.ts'
import { shed } from './shed.ts'
import type { Mode, Shedder } from './shedder.ts'
import { vegas } from './vegas.ts'

const makers: Readonly<Record<string, (mode: Mode) => Shedder>> = {
  fixed: mode => fixed({ limit: 3, mode }),
  aimd: mode => aimd({ initialLimit: 3, maxLimit: 5, mode }),
  gradient: mode => gradient({ initialLimit: 4, minLimit: 2, maxLimit: 6, mode }),
  vegas: mode => vegas({ initialLimit: 3, maxLimit: 6, random: () => 0.5, mode }),
  bbr: mode => bbr({ cpu: () => 1, loop: () => 1, mode }),
  codel: mode => codel({ targetMs: 5, intervalMs: 20, mode }),
}

type Step =
  | { readonly kind: 'offer'; readonly importance: 0 | 1 | 2 | 3; readonly tenant: string | undefined }
  | { readonly kind: 'end'; readonly how: 'success' | 'ignore' | 'dropped' }
  | { readonly kind: 'pass'; readonly ms: number }

const classes = ['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] as const
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('offer' as const),
      importance: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
      tenant: fc.constantFrom(undefined, 'a', 'b'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 60 }) }),
  },
)

/** Which calls were let in and counted, in order. The others are over as soon as they have been refused. */
function play(
  shedder: Shedder,
  steps: readonly Step[],
): { readonly told: string[]; readonly counted: boolean[] } {
  const open: ShedCall[] = []
  const told: string[] = []
  const counted: boolean[] = []
  let now = 1_000
  for (const each of steps) {
    if (each.kind === 'pass') now += each.ms
    else if (each.kind === 'end') open.shift()?.[each.how](now)
    else {
      const call = shedCall({ criticality: classes[each.importance], tenant: each.tenant })
      told.push(shedder.offer(call, now))
      counted.push(call.counts)
      if (call.counts) open.push(call)
    }
  }
  return { told, counted }
}

describe.each(Object.keys(makers))('%s', name => {
  test('only watching it decides the same as if it counted, and refuses nobody', () => {
    const make = makers[name]!
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 200 }), steps => {
        const [enforcing, observing] = [make('enforce'), make('observe')]
        const enforced = play(enforcing, steps)
        const observed = play(observing, steps)
        expect(observed.counted).toEqual(enforced.told.map(verdict => verdict === 'run'))
        expect(observed.told.every(verdict => verdict === 'run')).toBe(true)
        expect({ ...observing.snapshot(), mode: 'enforce' }).toEqual(enforcing.snapshot())
      }),
    )
  })
})

test.each([...Object.keys(makers), 'adaptive'])(
  '%s: what is exempt is served at once however full it is, and is part of no other count',
  async name => {
    const make = makers[name] ?? (mode => adaptive({ mode, minLimit: 1 }))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 5, maxLength: 60 }), async exempts => {
        const clock = manualClock()
        const shedder = make('enforce')
        const begun: boolean[] = []
        const ends: (() => void)[] = []
        const ours = shed<boolean>(shedder, { exempt: is => is })((is: boolean) => {
          begun.push(is)
          return is ? Promise.resolve() : new Promise<void>(resolve => ends.push(resolve))
        })
        const calls: Promise<unknown>[] = []
        let expected = 0
        for (const is of exempts) {
          const call = ours(is, createContext({ clock }))
          calls.push(call.catch(error => expect(isRejection(error, 'shed')).toBe(true)))
          if (!is) continue
          expected++
          // Before anything else has had a turn.
          expect(begun.filter(each => each)).toHaveLength(expected)
          await expect(call).resolves.toBeUndefined()
        }
        const { exempt, admitted, inFlight } = shedder.snapshot()
        expect(exempt).toBe(expected)
        expect(admitted).toBe(begun.length - expected)
        expect(inFlight).toBe(begun.length - expected)
        shedder.update({ mode: 'off' })
        while (ends.length > 0) ends.shift()!()
        await new Promise(resolve => setImmediate(resolve))
        while (ends.length > 0) ends.shift()!()
      }),
      { numRuns: 30 },
    )
  },
)
