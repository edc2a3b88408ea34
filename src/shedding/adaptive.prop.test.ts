import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { criticalities } from '../core/criticality.ts'
import { adaptive } from './adaptive.ts'
import { type ShedCall, type ShedTask, shedCall } from './call.ts'
import type { Mode } from './shedder.ts'

/** Hears of a call that begins, which others could have, and what each class had saved up of its floor. */
type Begins = (call: ShedCall, live: readonly ShedCall[], owed: readonly number[]) => void

/** A dispatcher that does what it is told, when it is told, and writes down what became of each call. */
class Desk {
  readonly shedder: ReturnType<typeof adaptive>
  now = 10_000
  readonly open: ShedCall[] = []
  readonly fate = new Map<ShedCall, string>()
  readonly startedAt = new Map<ShedCall, number>()
  readonly waiting = new Set<ShedCall>()
  private readonly gone = new Set<ShedTask>()

  constructor(mode: Mode = 'enforce', limit = 4) {
    this.shedder = adaptive({ mode, minLimit: limit })
  }

  offer(options: Parameters<typeof shedCall>[0], busyMs: number): ShedCall {
    const { gone } = this
    const task: ShedTask = {
      run: call => this.begin(call),
      refuse: (call, refusal) => this.note(call, refusal),
      get gone() {
        return gone.has(this)
      },
    }
    const call = shedCall(options, task)
    this.waiting.add(call)
    const verdict = this.shedder.offer(call, this.now, busyMs)
    if (verdict === 'run') this.begin(call)
    else if (verdict !== 'queued') this.note(call, verdict)
    return call
  }

  /** Those that wait and could begin: somebody still wants the answer. */
  get live(): ShedCall[] {
    return Array.from(this.waiting).filter(call => !call.task.gone && call.deadline > this.now)
  }

  /** What each class has saved up of its floor. */
  get owed(): number[] {
    const { queue } = this.shedder as unknown as { queue: { classes: { owedMs: number }[] } }
    return queue.classes.map(own => own.owedMs)
  }

  leave(call: ShedCall): void {
    this.gone.add(call.task)
  }

  /** Lets up to `n` calls that wait begin, each keeping the loop for `ms`, or four times as long. */
  batch(n: number, ms: number, begins: Begins = () => {}): void {
    this.shedder.tend(this.now)
    for (let i = 0; i < n; i++) {
      const { live, owed } = this
      const call = this.shedder.next(this.now)
      if (call === undefined) return
      begins(call, live, owed)
      this.begin(call)
      const costMs = call.route === '/heavy' ? 4 * ms : ms
      this.now += costMs
      this.shedder.learnCost(call, costMs)
    }
  }

  private begin(call: ShedCall): void {
    this.note(call, 'run')
    this.startedAt.set(call, this.now)
    this.open.push(call)
  }

  private note(call: ShedCall, what: string): void {
    // No call is ever told two things.
    expect(this.fate.get(call)).toBeUndefined()
    this.waiting.delete(call)
    this.fate.set(call, what)
  }
}

type Step =
  | { offer: NonNullable<Parameters<typeof shedCall>[0]>; within: number; busyMs: number }
  | { batch: number; ms: number }
  | { finish: number; how: 'success' | 'ignore' | 'dropped' }
  | { wait: number }
  | { leave: number }
  | 'stall'
  | 'reset'

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      offer: fc.record({
        criticality: fc.constantFrom(...criticalities),
        tenant: fc.constantFrom(undefined, 'a', 'b'),
        route: fc.constantFrom('/', '/heavy'),
        attempt: fc.constantFrom(1, 2),
      }),
      within: fc.constantFrom(Infinity, 50),
      busyMs: fc.constantFrom(0, 10),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ batch: fc.integer({ min: 1, max: 20 }), ms: fc.constantFrom(0.1, 2, 15) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      finish: fc.nat(),
      how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(1, 10, 60, 300) }) },
  { weight: 1, arbitrary: fc.record({ leave: fc.nat() }) },
  { weight: 1, arbitrary: fc.constantFrom('stall' as const, 'reset' as const) },
)

function play(desk: Desk, steps: readonly Step[], check: () => void = () => {}, begins?: Begins): ShedCall[] {
  const calls: ShedCall[] = []
  for (const step of steps) {
    if (step === 'stall') desk.shedder.stalled(desk.now)
    else if (step === 'reset') desk.shedder.reset()
    else if ('wait' in step) desk.now += step.wait
    else if ('batch' in step) desk.batch(step.batch, step.ms, begins)
    else if ('offer' in step) {
      calls.push(desk.offer({ ...step.offer, deadline: desk.now + step.within }, step.busyMs))
    } else if ('leave' in step) {
      if (calls.length > 0) desk.leave(calls[step.leave % calls.length]!)
    } else if (desk.open.length > 0) {
      const [call] = desk.open.splice(step.finish % desk.open.length, 1)
      call![step.how](desk.now)
      call!.success(desk.now)
    }
    check()
  }
  return calls
}

describe('any order of arrivals, batches, ends, stalls and settings', () => {
  test('every call is let in or refused once, and what is in flight and what waits adds up', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), steps => {
        const desk = new Desk()
        const calls = play(desk, steps, () => {
          const { inFlight, queued, queuedWorkMs, limit } = desk.shedder.snapshot()
          expect(inFlight).toBe(desk.open.length)
          expect(queued).toBe(desk.shedder.queued)
          expect(queuedWorkMs).toBeGreaterThanOrEqual(0)
          expect(limit).toBeGreaterThanOrEqual(4)
          const pressure = desk.shedder.pressure(desk.now)
          expect(pressure).toBeGreaterThanOrEqual(0)
          expect(pressure).toBeLessThanOrEqual(1)
        })
        // Nothing is lost: given time and room, whatever waits begins or is refused.
        for (let i = 0; desk.shedder.queued > 0; i++) {
          expect(i).toBeLessThan(1_000)
          for (const call of desk.open.splice(0)) call.success(desk.now)
          desk.now += 10
          desk.batch(50, 0.1)
        }
        for (const call of desk.open.splice(0)) call.success(desk.now)
        expect(desk.fate.size).toBe(calls.length)
        expect(desk.shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, queuedWorkMs: 0 })
      }),
      { numRuns: 200 },
    )
  })

  test('nobody begins after its deadline, after it has gone, or after it has waited too long', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), steps => {
        const desk = new Desk()
        const calls = play(desk, steps)
        for (const call of calls) {
          const startedAt = desk.startedAt.get(call)
          if (startedAt === undefined) continue
          expect(startedAt).toBeLessThan(call.deadline)
          // 200 ms, and what one batch of the longest calls may add.
          expect(startedAt - call.arrivedAt).toBeLessThanOrEqual(200 + 20 * 20)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('work is never left lying: if a call waits and there is room, the next one begins or there is none', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), steps => {
        const desk = new Desk()
        play(desk, steps)
        const { hasRoom, queued } = desk.shedder
        const call = desk.shedder.next(desk.now)
        if (call === undefined) expect(!hasRoom || desk.shedder.queued === 0).toBe(true)
        else expect(queued).toBeGreaterThan(0)
      }),
    )
  })

  test('observing decides as enforcing does on the same trace, and refuses nobody', () => {
    const only = step.filter(step => step !== 'reset' && !(typeof step === 'object' && 'finish' in step))
    fc.assert(
      fc.property(fc.array(only, { maxLength: 200 }), steps => {
        const enforcing = new Desk('enforce')
        const observing = new Desk('observe')
        const enforced = play(enforcing, steps)
        const observed = play(observing, steps)
        const { mode: _, ...rest } = observing.shedder.snapshot()
        expect(enforcing.shedder.snapshot()).toMatchObject(rest)
        for (const [i, call] of observed.entries()) {
          const fate = enforcing.fate.get(enforced[i]!)
          expect(observing.fate.get(call)).toBe(fate === undefined ? undefined : 'run')
        }
      }),
    )
  })
})

/** Mostly calls that come and begin one by one, so that classes save up and spend. */
const busy: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: step },
    {
      weight: 3,
      arbitrary: fc.record({
        offer: fc.record({
          criticality: fc.constantFrom(...criticalities),
          tenant: fc.constantFrom(undefined, 'a', 'b'),
          route: fc.constantFrom('/', '/heavy'),
          attempt: fc.constantFrom(1, 2),
        }),
        within: fc.constant(Infinity),
        busyMs: fc.constant(10),
      }),
    },
    { weight: 2, arbitrary: fc.record({ batch: fc.integer({ min: 1, max: 3 }), ms: fc.constantFrom(2, 5) }) },
  ),
  { maxLength: 200, size: 'max' },
)

describe('order', () => {
  test('the next to begin is never one that matters less than one that waits, unless it is owed what it costs', () => {
    fc.assert(
      fc.property(busy, steps => {
        const begins: Begins = (call, live, owed) => {
          const most = Math.min(...live.map(other => other.importance))
          if (call.importance > most) expect(owed[call.importance]).toBeGreaterThanOrEqual(call.costMs)
          if (!call.again) return
          // Nor a second try while a first one of its class waits.
          expect(live.filter(other => other.importance === call.importance && !other.again)).toEqual([])
        }
        play(new Desk('enforce', 1_000), steps, undefined, begins)
      }),
      { numRuns: 300 },
    )
  })
})

test('whoever matters more is told nothing worse at the same moment, as far as nobody is owed a floor', () => {
  const worth = (verdict: string): number => (verdict === 'run' ? 2 : verdict === 'queued' ? 1 : 0)
  fc.assert(
    fc.property(
      busy,
      fc.constantFrom(1, 2, 3),
      fc.constantFrom(1, 2),
      fc.constantFrom(0, 10),
      (steps, lesser, attempt, busyMs) => {
        const verdict = (importance: number): string => {
          const desk = new Desk()
          desk.shedder.update({ floorRatio: Number.MIN_VALUE })
          play(desk, steps)
          const call = shedCall({ criticality: criticalities[importance]!, attempt })
          return desk.shedder.offer(call, desk.now, busyMs)
        }
        expect(worth(verdict(lesser - 1))).toBeGreaterThanOrEqual(worth(verdict(lesser)))
      },
    ),
    { numRuns: 200 },
  )
})
