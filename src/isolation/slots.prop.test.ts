import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Criticality, criticalities } from '../core/criticality.ts'
import type { Rejection } from '../core/rejection.ts'
import type { Line } from '../internal/line.ts'
import { Slots, type Waiter } from './slots.ts'

class Call implements Waiter {
  readonly id: number
  readonly criticality: Criticality
  readonly since: number
  readonly deadline: number
  line: Line<Waiter> | undefined
  ahead: Waiter | undefined
  behind: Waiter | undefined
  state: 'waiting' | 'running' | 'refused' | 'left' = 'waiting'
  reason: string | undefined

  constructor(id: number, criticality: Criticality, since: number, deadline: number) {
    this.id = id
    this.criticality = criticality
    this.since = since
    this.deadline = deadline
  }

  enter(): void {
    this.state = 'running'
  }

  refuse(rejection: Rejection): void {
    this.state = 'refused'
    this.reason = rejection.reason
  }
}

interface Seen {
  readonly id: number
  readonly criticality: Criticality
  readonly since: number
  readonly deadline: number
}

/** The same rules over plain arrays, without a thought for cost. */
class Model {
  running: number[] = []
  line: Seen[] = []
  refused: number[] = []
  samples: number[] = []
  limit: number
  queue: number
  lifoAfterMs: number

  constructor(limit: number, queue: number, lifoAfterMs: number) {
    this.limit = limit
    this.queue = queue
    this.lifoAfterMs = lifoAfterMs
  }

  get serviceMs(): number {
    const [first, ...rest] = this.samples.map(sample => Math.log(Math.max(sample, 0.01)))
    if (first === undefined) return 0
    return Math.exp(rest.reduce((mean, sample) => mean + (sample - mean) / 16, first))
  }

  hopeless(call: Seen, now: number): boolean {
    return call.deadline - now < this.serviceMs
  }

  arrive(call: Seen, now: number): void {
    if (this.running.length < this.limit) this.running.push(call.id)
    else if (this.line.length >= this.queue || this.hopeless(call, now)) this.refused.push(call.id)
    else this.line.push(call)
  }

  pick(now: number): Seen | undefined {
    for (const criticality of criticalities) {
      for (;;) {
        const line = this.line.filter(call => call.criticality === criticality)
        if (line.length === 0) break
        const call = now - line[0]!.since > this.lifoAfterMs ? line.at(-1)! : line[0]!
        this.line = this.line.filter(other => other !== call)
        if (!this.hopeless(call, now)) return call
        this.refused.push(call.id)
      }
    }
    return undefined
  }

  release(id: number, now: number, tookMs: number | undefined): void {
    this.running = this.running.filter(other => other !== id)
    if (tookMs !== undefined) this.samples.push(tookMs)
    if (this.running.length < this.limit) {
      const next = this.pick(now)
      if (next !== undefined) this.running.push(next.id)
    }
  }

  update(limit: number, queue: number): void {
    this.limit = limit
    this.queue = queue
    while (this.running.length < this.limit) {
      const next = this.pick(-Infinity)
      if (next === undefined) return
      this.running.push(next.id)
    }
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      criticality: fc.constantFrom(...criticalities),
      timeMs: fc.constantFrom(5, 20, 100, Infinity),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(20), counts: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'expire' as const), which: fc.nat(20) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('update' as const),
      limit: fc.nat(4),
      queue: fc.integer({ min: 1, max: 6 }),
    }),
  },
)

describe('places with a line in front of them', () => {
  it('do what the plainest model does, step by step', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom(0, 15, Infinity),
        fc.array(step, { maxLength: 80, size: 'max' }),
        (limit, queue, lifoAfterMs, steps) => {
          const slots = new Slots('places', { limit, queue, lifoAfterMs })
          const model = new Model(limit, queue, lifoAfterMs)
          const calls: Call[] = []
          const finished = new Set<Call>()
          const startedAt = new Map<number, number>()
          let now = 1000
          const inState = (state: Call['state']) =>
            calls.filter(call => call.state === state && !finished.has(call))

          for (const next of steps) {
            if (next.do === 'wait') now += next.ms
            if (next.do === 'update') {
              slots.update({ limit: next.limit, queue: next.queue })
              model.update(next.limit, next.queue)
            }
            if (next.do === 'arrive') {
              const call = new Call(calls.length, next.criticality, now, now + next.timeMs)
              calls.push(call)
              if (slots.take()) call.enter()
              else {
                const refusal = slots.join(call, call.criticality, now)
                if (refusal !== undefined) call.refuse(refusal)
              }
              model.arrive(call, now)
            }
            if (next.do === 'release') {
              const running = inState('running')
              const call = running[next.which % running.length]
              if (call !== undefined) {
                const tookMs = next.counts ? now - startedAt.get(call.id)! : undefined
                finished.add(call)
                slots.release(now, tookMs)
                model.release(call.id, now, tookMs)
              }
            }
            if (next.do === 'leave' || next.do === 'expire') {
              const waiting = inState('waiting')
              const call = waiting[next.which % waiting.length]
              if (call !== undefined) {
                if (next.do === 'leave') slots.leave(call)
                else slots.expire(call)
                call.state = 'left'
                model.line = model.line.filter(other => other.id !== call.id)
              }
            }
            for (const call of inState('running')) {
              if (!startedAt.has(call.id)) startedAt.set(call.id, now)
            }

            const snapshot = slots.snapshot()
            expect(inState('running').map(call => call.id)).toEqual([...model.running].sort((a, b) => a - b))
            expect(inState('waiting').map(call => call.id)).toEqual(model.line.map(call => call.id))
            expect(inState('refused').map(call => call.id)).toEqual([...model.refused].sort((a, b) => a - b))
            expect(snapshot.active).toBe(model.running.length)
            expect(snapshot.waiting).toBe(model.line.length)
            expect(snapshot.serviceMs).toBeCloseTo(model.serviceMs, 6)
            // No place stands free while somebody waits for one, and everybody is accounted for.
            if (snapshot.active < model.limit) expect(snapshot.waiting).toBe(0)
            expect(snapshot.admitted).toBe(snapshot.active + finished.size)
            expect(
              snapshot.admitted +
                snapshot.waiting +
                snapshot.refused +
                snapshot.dropped +
                snapshot.left +
                snapshot.expired,
            ).toBe(calls.length)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('serve those of one class in the order in which they came', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...criticalities), { maxLength: 30, size: 'max' }), classes => {
        const slots = new Slots('places', { limit: 1, queue: 100 })
        slots.take()
        const calls = classes.map((criticality, i) => new Call(i, criticality, 0, Infinity))
        for (const call of calls) slots.join(call, call.criticality, 0)
        const order: Call[] = []
        for (let i = 0; i < calls.length; i++) {
          slots.release(0)
          order.push(...calls.filter(call => call.state === 'running' && !order.includes(call)))
        }
        const expected = criticalities.flatMap(criticality =>
          calls.filter(call => call.criticality === criticality),
        )
        expect(order.map(call => call.id)).toEqual(expected.map(call => call.id))
      }),
    )
  })
})
