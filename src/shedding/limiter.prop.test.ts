import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { criticalities } from '../core/criticality.ts'
import { type ShedCall, shedCall } from './call.ts'
import { fixed } from './fixed.ts'

const step = fc.oneof(
  fc.record({
    offer: fc.record({
      criticality: fc.constantFrom(...criticalities),
      tenant: fc.constantFrom(undefined, 'a', 'b', 'c'),
    }),
  }),
  fc.record({
    finish: fc.nat(),
    how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
  }),
)

describe('any order of calls', () => {
  test('what is in flight is what was let in and is not over, and never more than the bound', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 300 }), (limit, steps) => {
        const shedder = fixed({ limit })
        const open: ShedCall[] = []
        let admitted = 0
        let refused = 0
        for (const [now, step] of steps.entries()) {
          if ('offer' in step) {
            const call = shedCall(step.offer)
            if (shedder.offer(call, now) === 'run') {
              admitted++
              open.push(call)
            } else refused++
          } else if (open.length > 0) {
            const [call] = open.splice(step.finish % open.length, 1)
            call![step.how](now)
            // Whoever says it twice, or differently, is not heard.
            call!.success(now)
            call!.dropped(now)
          }
          const snapshot = shedder.snapshot()
          expect(snapshot.inFlight).toBe(open.length)
          expect(open.length).toBeLessThanOrEqual(Math.max(limit + 1, Math.ceil(1.1 * limit)))
          expect(open.filter(call => call.importance > 0).length).toBeLessThanOrEqual(limit)
          expect(snapshot.admitted).toBe(admitted)
          expect(Object.values(snapshot.refused).reduce((a, b) => a + b)).toBe(refused)
        }
      }),
    )
  })

  test('observing decides as enforcing does, and refuses nobody', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), steps => {
        const enforcing = fixed({ limit: 3 })
        const observing = fixed({ limit: 3, mode: 'observe' })
        const open: [ShedCall, ShedCall][] = []
        for (const [now, step] of steps.entries()) {
          if ('offer' in step) {
            const pair: [ShedCall, ShedCall] = [shedCall(step.offer), shedCall(step.offer)]
            const enforced = enforcing.offer(pair[0], now)
            expect(observing.offer(pair[1], now)).toBe('run')
            if (enforced === 'run') open.push(pair)
            // The call that would have been refused runs, and ends, without being noticed.
            else pair[1].success(now)
          } else if (open.length > 0) {
            for (const call of open.splice(step.finish % open.length, 1)[0]!) call[step.how](now)
          }
          const { mode: _, ...rest } = observing.snapshot()
          expect(enforcing.snapshot()).toMatchObject(rest)
        }
      }),
    )
  })

  test('a call that matters more is let in wherever one that matters less is, if no floor is owed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 60 }),
        fc.constantFrom(1, 2, 3),
        (limit, taken, lesser) => {
          const verdict = (importance: number) => {
            const shedder = fixed({ limit })
            // Calls of the last class save up nothing for anybody.
            for (let i = 0; i < taken; i++) shedder.offer(shedCall({ criticality: 'sheddable' }), 0)
            return shedder.offer(shedCall({ criticality: criticalities[importance]! }), 0)
          }
          if (verdict(lesser) === 'run') expect(verdict(lesser - 1)).toBe('run')
        },
      ),
    )
  })
})
