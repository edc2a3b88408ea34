import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Alarm } from './clock.ts'
import { TimingWheel } from './timing-wheel.ts'

const TICK_MS = 5
const IDS = 12

type Step =
  | { readonly does: 'arm'; readonly id: number; readonly inMs: number; readonly reaction: Reaction }
  | { readonly does: 'disarm' | 'swap'; readonly id: number }
  | { readonly does: 'pass' | 'stall'; readonly ms: number }

/** What an alarm does when it rings. */
type Reaction =
  | { readonly arm: number; readonly inMs: number }
  | { readonly disarm: number }
  | { readonly swap: number }
  | undefined

const id = fc.nat({ max: IDS - 1 })
const inMs = fc.oneof(
  { weight: 5, arbitrary: fc.double({ min: -20, max: 60, noNaN: true }) },
  { weight: 1, arbitrary: fc.double({ min: 2_500, max: 8_000, noNaN: true }) },
)
const reaction: fc.Arbitrary<Reaction> = fc.oneof(
  fc.constant(undefined),
  fc.record({ arm: id, inMs: fc.double({ min: 0, max: 60, noNaN: true }) }),
  fc.record({ disarm: id }),
  fc.record({ swap: id }),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant('arm' as const), id, inMs, reaction }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constantFrom('disarm', 'swap'), id }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('pass' as const),
      ms: fc.integer({ min: 0, max: 50 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      does: fc.constantFrom('pass', 'stall'),
      ms: fc.integer({ min: 50, max: 6_000 }),
    }),
  },
)

/** Beside the wheel: which alarms are armed and for when, in a plain map. */
class Model {
  private stalled = 0
  private lastStall = -Infinity
  readonly wheel: TimingWheel = new TimingWheel(() => performance.now() + this.stalled)
  private readonly faults: string[] = []
  private readonly due = new Map<Alarm, number>()
  private readonly since = new Map<Alarm, number>()
  private readonly reactions: Reaction[] = Array.from({ length: IDS }, () => undefined)
  private readonly alarms: Alarm[] = Array.from({ length: IDS }, (_, i) => ({
    at: 0,
    keepAlive: i % 2 === 0,
    next: undefined,
    previous: undefined,
    ring: () => this.rang(i),
  }))

  take(step: Step): void {
    if ('inMs' in step) {
      this.reactions[step.id] = step.reaction
      this.arm(step.id, step.inMs)
    } else if ('id' in step) {
      if (step.does === 'disarm') this.disarm(step.id)
      else this.swap(step.id)
    } else if (step.does === 'pass') {
      vi.advanceTimersByTime(step.ms)
    } else {
      this.stalled += step.ms
      this.lastStall = this.wheel.now()
    }
    expect(this.faults).toEqual([])
    expect(this.wheel.armed).toBe(this.due.size)
  }

  /** Nothing that was due a tick ago is still waiting, unless the loop has not turned since. */
  nothingForgotten(): void {
    vi.advanceTimersByTime(TICK_MS)
    const now = this.wheel.now()
    for (const [alarm, at] of this.due) {
      expect(Math.max(at, this.since.get(alarm)!)).toBeGreaterThan(now - TICK_MS)
    }
  }

  private arm(id: number, inMs: number): void {
    const alarm = this.alarms[id]!
    const now = this.wheel.now()
    this.wheel.arm(alarm, now + inMs)
    this.due.set(alarm, now + inMs)
    this.since.set(alarm, now)
  }

  private disarm(id: number): void {
    this.wheel.disarm(this.alarms[id]!)
    this.due.delete(this.alarms[id]!)
  }

  /** With the next that keeps the process alive as it does, if that is free. */
  private swap(id: number): void {
    const from = this.alarms[id]!
    const to = this.alarms[(id + 2) % IDS]!
    if (this.due.has(to)) return
    this.wheel.swap(from, to)
    const at = this.due.get(from)
    if (at === undefined) return
    this.due.delete(from)
    this.due.set(to, at)
    this.since.set(to, this.since.get(from)!)
  }

  private rang(id: number): void {
    const alarm = this.alarms[id]!
    const now = this.wheel.now()
    const at = this.due.get(alarm)
    // What an alarm throws does not come back to the test, so it is noted.
    if (at === undefined) this.faults.push(`${id} rang though it was not armed`)
    if (now < at!) this.faults.push(`${id} rang at ${now}, early for ${at}`)
    const wanted = Math.max(at!, this.since.get(alarm)!, this.lastStall)
    if (now - wanted > TICK_MS + 1e-6) this.faults.push(`${id} rang at ${now}, late for ${wanted}`)
    this.due.delete(alarm)
    const reaction = this.reactions[id]
    if (reaction === undefined) return
    // Once, so that two alarms do not arm each other for ever.
    this.reactions[id] = undefined
    if ('arm' in reaction) this.arm(reaction.arm, reaction.inMs)
    else if ('swap' in reaction) this.swap(reaction.swap)
    else this.disarm(reaction.disarm)
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('the wheel rings what a plain list of times would: never early, never more than a tick late, never twice', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }), steps => {
      const model = new Model()
      for (const step of steps) model.take(step)
      model.nothingForgotten()
      vi.clearAllTimers()
    }),
    { numRuns: 300 },
  )
})
