import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ShedCall, shedCall } from './call.ts'
import { Lane } from './lane.ts'

let count = 0

function waiting(tenant: string | undefined, costMs: number): ShedCall {
  const call = shedCall({ tenant })
  call.costMs = costMs
  call.arrivedAt = count++
  return call
}

/** The places of a lane, from the one that has waited longest. */
type Place = { older?: Place; newer?: Place; olderInFlow?: Place; newerInFlow?: Place }

function places(lane: Lane): Place[] {
  const all: Place[] = []
  for (let place = (lane as unknown as { first?: Place }).first; place !== undefined; place = place.newer) {
    all.push(place)
  }
  return all
}

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      push: fc.constantFrom(undefined, 'a', 'b', 'c'),
      cost: fc.integer({ min: 1, max: 9 }),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom('oldest first' as const, 'newest first' as const) },
  { weight: 1, arbitrary: fc.constantFrom('takeOldest' as const, 'takeFromLast' as const) },
  { weight: 1, arbitrary: fc.constant('reset' as const) },
)

test('what is taken was put in, once; sizes, sums and the oldest are those of a list; who has left holds on to nobody', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const lane = new Lane()
      const list: ShedCall[] = []
      for (const step of steps) {
        const before = places(lane)
        if (step === 'reset') lane.reset()
        else if (typeof step === 'object') {
          const call = waiting(step.push, step.cost)
          lane.push(call)
          list.push(call)
        } else {
          const taken =
            step === 'takeOldest'
              ? lane.takeOldest()
              : step === 'takeFromLast'
                ? lane.takeFromLast()
                : lane.take(step === 'newest first')
          if (list.length === 0) expect(taken).toBeUndefined()
          else {
            if (step === 'takeOldest') expect(taken).toBe(list[0])
            const own = list.filter(call => call.tenant === taken!.tenant)
            // Within a tenant it is an end of the line, never the middle.
            if (step !== 'newest first') expect(taken).toBe(own[0])
            else expect([own[0], own.at(-1)]).toContain(taken)
            list.splice(list.indexOf(taken!), 1)
          }
        }
        // A place that has been left and still leads to others would keep them alive once it is old.
        const after = new Set(places(lane))
        const left = before.filter(place => !after.has(place))
        for (const { older, newer, olderInFlow, newerInFlow } of left) {
          expect([older, newer, olderInFlow, newerInFlow]).toEqual([
            undefined,
            undefined,
            undefined,
            undefined,
          ])
        }
        expect(lane.size).toBe(list.length)
        expect(lane.workMs).toBeCloseTo(list.reduce((sum, call) => sum + call.costMs, 0))
        expect(lane.oldest).toBe(list[0])
      }
      while (lane.size > 0) expect(list).toContain(lane.take(false))
    }),
  )
})

describe('fairness among tenants', () => {
  test('those that always wait are served equal work, to within two calls and what newcomers have of credit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 }),
        fc.boolean(),
        (costs, newestFirst) => {
          const lane = new Lane()
          const served = costs.map(() => 0)
          const push = (tenant: number): void => lane.push(waiting(`t${tenant}`, costs[tenant]!))
          for (const tenant of costs.keys()) for (let i = 0; i < 3; i++) push(tenant)
          for (let i = 0; i < 500; i++) {
            const call = lane.take(newestFirst)!
            const tenant = Number(call.tenant!.slice(1))
            served[tenant]! += call.costMs
            push(tenant)
          }
          expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual((2 + 4) * Math.max(...costs))
        },
      ),
    )
  })

  test('what refusing the calls of a tenant costs is its own loss, and none of the others', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 5 }), (each, cost) => {
        const lane = new Lane()
        const had = { flood: 0, other: 0 }
        const push = (tenant: string, calls: number): void => {
          for (let i = 0; i < calls; i++) lane.push(waiting(tenant, cost))
        }
        push('flood', 50)
        push('other', 2)
        for (let i = 0; i < 500; i++) {
          push('flood', each)
          for (let k = 0; k < each; k++) expect(lane.takeFromLast(false, 0.03)!.tenant).toBe('flood')
          had.flood += each * 0.03
          const { tenant } = lane.take(false)!
          had[tenant as 'flood' | 'other'] += cost
          push(tenant!, 1)
        }
        expect(Math.abs(had.flood - had.other)).toBeLessThanOrEqual(8 * cost + each)
      }),
    )
  })

  test('however many calls of a tenant have been refused, it is not behind the others for longer than they may be before it', () => {
    const lane = new Lane()
    const push = (tenant: string): void => lane.push(waiting(tenant, 1))
    for (let i = 0; i < 100_000; i++) {
      push('flood')
      push('flood')
      push('other')
      lane.takeFromLast(false, 0.03)
      lane.take(false)
      while (lane.size > 10) lane.takeFromLast(false, 0.03)
    }
    while (lane.size > 0) lane.take(false)
    push('flood')
    let before = 0
    for (push('other'); lane.take(false)!.tenant === 'other'; push('other')) before++
    expect(before).toBeLessThanOrEqual(200 + 5)
  })

  test('one that asks for less than its share gets all of it, whatever the others do', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 10 }), fc.integer({ min: 1, max: 50 }), (floods, every) => {
        const lane = new Lane()
        let asked = 0
        let given = 0
        let worked = 0
        for (let i = 0; i < 2_000; i++) {
          for (let f = 0; f < floods; f++) if (lane.size < 200) lane.push(waiting(`flood${f}`, 1))
          // At most half of a fair share.
          if (i % (2 * (floods + 1) + every) === 0) {
            lane.push(waiting('quiet', 1))
            asked++
          }
          const call = lane.take(false)!
          worked += call.costMs
          if (call.tenant === 'quiet') given++
        }
        expect(worked).toBe(2_000)
        expect(asked - given).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('who is refused is the one with most waiting', () => {
    const lane = new Lane()
    for (let i = 0; i < 10; i++) lane.push(waiting('flood', 2))
    lane.push(waiting('quiet', 2))
    for (let i = 0; i < 9; i++) expect(lane.takeFromLast()!.tenant).toBe('flood')
  })
})

test('who has had less than its share waits longer, and is not refused while others can be', () => {
  const lane = new Lane()
  for (let i = 0; i < 300; i++) {
    lane.push(waiting('flood', 2))
    lane.take(false)
  }
  const quiet = waiting('quiet', 2)
  lane.push(quiet)
  lane.push(waiting('flood', 2))
  quiet.arrivedAt = 100
  expect(lane.takeFromLast(true)!.tenant).toBe('flood')
  expect(lane.takeOlder(101, 101)).toBe(quiet)
  lane.push(quiet)
  lane.push(waiting('flood', 2))
  expect(lane.takeOlder(101, 100)).toBeUndefined()
  // Alone it has nobody to keep up with.
  lane.takeFromLast()
  expect(lane.takeOlder(101, 100)).toBe(quiet)
})

test('of tenants that have all had less than their share none is refused, unless it must be', () => {
  const lane = new Lane()
  for (let i = 0; i < 300; i++) {
    lane.push(waiting('flood', 2))
    lane.take(false)
  }
  lane.push(waiting('a', 2))
  lane.push(waiting('b', 2))
  expect(lane.takeFromLast(true)).toBeUndefined()
  expect(lane.takeFromLast(false)).toBeDefined()
})

test('thirty that nobody has seen before keep nobody who is known waiting for long', () => {
  const lane = new Lane()
  for (let i = 0; i < 300; i++) {
    lane.push(waiting('known', 2))
    lane.take(false)
  }
  for (let tenant = 0; tenant < 30; tenant++) {
    for (let i = 0; i < 40; i++) lane.push(waiting(`new ${tenant}`, 2))
  }
  lane.push(waiting('known', 2))
  let before = 0
  while (lane.take(false)!.tenant !== 'known') before++
  expect(before).toBeLessThanOrEqual(30 * 6)
})

test('ten thousand tenants that came once are not remembered, and take nothing from who waits', () => {
  const lane = new Lane()
  lane.push(waiting('first', 1))
  for (let i = 0; i < 10_000; i++) {
    lane.push(waiting(`t${i}`, 1))
    lane.takeOldest()
  }
  expect(lane.size).toBe(1)
  expect((lane as unknown as { flows: Map<string, unknown> }).flows.size).toBeLessThanOrEqual(1_025)
  expect(lane.take(false)!.tenant).toBe('t9999')
})

test('thousands of tenants that all wait are not gone through for each one that comes or is refused', () => {
  const lane = new Lane()
  const inside = lane as unknown as { flows: Map<string, unknown>; forget(): void }
  let forgets = 0
  const { forget } = inside
  inside.forget = () => {
    forgets++
    forget.call(lane)
  }
  for (let i = 0; i < 4_096; i++) lane.push(waiting(`t${i}`, 1))
  expect(forgets).toBeLessThan(10)
  while (lane.size > 0) lane.takeFromLast()
  // Those that wait for nothing are not looked at when somebody is refused.
  const { values } = inside.flows
  inside.flows.values = () => {
    throw new Error('looked at all that are remembered')
  }
  lane.push(waiting('a', 1))
  for (let i = 0; i < 2; i++) lane.push(waiting('b', 1))
  expect(lane.takeFromLast()!.tenant).toBe('b')
  inside.flows.values = values
  for (let i = 0; i < 5_000; i++) {
    lane.push(waiting(`later${i}`, 1))
    lane.takeOldest()
  }
  expect(inside.flows.size).toBeLessThanOrEqual(1_025)
})
