import fc from 'fast-check'
import { expect, test } from 'vitest'
import { criticalities } from '../core/criticality.ts'
import { shedCall } from './call.ts'
import { RunQueue } from './run-queue.ts'

const FLOOR = 0.05
const MOST_COST = 60

const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      class: fc.integer({ min: 0, max: 3 }),
      tenant: fc.constantFrom(undefined, 'a', 'b'),
      attempt: fc.constantFrom(1, 2),
      costMs: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: MOST_COST })),
    }),
  },
  { weight: 2, arbitrary: fc.constant('take' as const) },
  { weight: 1, arbitrary: fc.record({ stands: fc.integer({ min: 0, max: 3 }), is: fc.boolean() }) },
)

function put(queue: RunQueue, importance: number, costMs: number, tenant?: string, attempt = 1): void {
  const call = shedCall({ criticality: criticalities[importance]!, tenant, attempt })
  call.costMs = costMs
  queue.push(call)
}

test('before classes that matter more each gets what its floor comes to and no more, whatever calls cost', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), steps => {
      const queue = new RunQueue(FLOOR)
      const outOfTurn = [0, 0, 0, 0]
      let work = 0
      for (const step of steps) {
        if (typeof step === 'object' && 'stands' in step) queue.classes[step.stands]!.stands = step.is
        else if (typeof step === 'object') put(queue, step.class, step.costMs, step.tenant, step.attempt)
        else {
          const most = queue.classes.findIndex(own => own.size > 0)
          const call = queue.take()
          if (call === undefined) continue
          work += call.costMs
          if (call.importance === most) continue
          outOfTurn[call.importance]! += call.costMs
          expect(outOfTurn[call.importance]).toBeLessThanOrEqual(FLOOR * work + MOST_COST)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('a class that always waits is served its floor, however dear its calls are beside those of the others', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: MOST_COST }), { minLength: 4, maxLength: 4 }),
      fc.boolean(),
      (costs, stands) => {
        const queue = new RunQueue(FLOOR)
        for (const own of queue.classes) own.stands = stands
        const served = [0, 0, 0, 0]
        for (const [importance, costMs] of costs.entries()) put(queue, importance, costMs)
        let work = 0
        while (work < 10_000) {
          const { importance, costMs } = queue.take()!
          served[importance]! += costMs
          work += costMs
          put(queue, importance, costMs)
        }
        for (const own of served) expect(own).toBeGreaterThanOrEqual(FLOOR * work - 3 * MOST_COST)
      },
    ),
  )
})

test('what is skipped is charged to nobody', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.boolean()), { maxLength: 60 }),
      calls => {
        const queue = new RunQueue(FLOOR)
        const bare = new RunQueue(FLOOR)
        for (const [importance, dead] of calls) {
          put(queue, importance, 5, dead ? 'dead' : 'live')
          if (!dead) put(bare, importance, 5, 'live')
        }
        while (queue.size > 0) {
          if (queue.peek()!.tenant === 'dead') {
            expect(queue.skip()!.tenant).toBe('dead')
            continue
          }
          expect(queue.take()!.importance).toBe(bare.take()!.importance)
        }
        expect(bare.size).toBe(0)
      },
    ),
  )
})
