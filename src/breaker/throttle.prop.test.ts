import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Criticality, criticalities } from '../core/criticality.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/index.ts'
import type { CallFacts, Pass, Verdict } from './breaker.ts'
import { type ThrottleOptions, throttle } from './throttle.ts'

const verdicts: readonly Verdict[] = ['success', 'failure', 'neutral']

function callOf(criticality: Criticality): CallFacts {
  return { criticality, deadline: Infinity }
}

const options = fc.record({
  k: fc.constantFrom(1, 1.1, 2, 3),
  windowMs: fc.constantFrom(1_000, 10_000),
  buckets: fc.constantFrom(1, 10, 40),
  reactMs: fc.constantFrom(100, 1_000, 10_000),
  minRequests: fc.constantFrom(0, 1, 5, 20),
  rejectWeight: fc.constantFrom(0, 0.1, 0.5, 1),
  maxRejection: fc.constantFrom(0, 0.5, 0.9, 0.98, 1),
  probesPerSecond: fc.constantFrom(0, 1, 5),
  unansweredMs: fc.constantFrom(250, 2_500, Infinity),
})

const action = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(1_000, 2_500, 10_000, 3_600_000)),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      criticality: fc.constantFrom('critical' as const, 'critical' as const, ...criticalities),
      dice: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which: fc.oneof(fc.constant(0), fc.nat({ max: 9 })),
      verdict: fc.constantFrom('failure' as const, 'failure' as const, ...verdicts),
    }),
  },
)
const change = fc.record({
  do: fc.constant('update' as const),
  settings: fc.oneof(options, fc.record({ k: fc.constantFrom(1, 2), rejectWeight: fc.constantFrom(0, 1) })),
})
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never
const actions = fc.array(action, { maxLength: 200, size: 'max' })

type Settings = typeof options extends fc.Arbitrary<infer T> ? T : never

interface NaiveCall {
  /** Which shape of the window it was let through under. */
  readonly era: object
  readonly rank: number
  readonly epoch: number
  settled: boolean
}

/** The formulas of the throttle over lists of everything that ever happened. */
class NaiveThrottle {
  private era: object = {}
  private calls: NaiveCall[] = []
  private events: { rank: number; epoch: number; kind: 'accepted' | 'failed' | 'rejected' }[] = []
  private lastPassAt = criticalities.map(() => -Infinity)
  private settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
  }

  update(change: Partial<Settings>): void {
    const before = this.shape()
    this.settings = { ...this.settings, ...change }
    if (this.shape() === before) return
    this.era = {}
    this.calls = []
    this.events = []
    this.lastPassAt = criticalities.map(() => -Infinity)
  }

  call(now: number, rank: number, dice: number): NaiveCall | undefined {
    const { probesPerSecond } = this.settings
    const epoch = this.epoch(now)
    const probe = now - this.lastPassAt[rank]! >= 1_000 / probesPerSecond
    if (dice < this.rejection(now, rank) && !probe) {
      this.events.push({ rank, epoch, kind: 'rejected' })
      return undefined
    }
    this.lastPassAt[rank] = now
    const call = { era: this.era, rank, epoch, settled: false }
    this.calls.push(call)
    return call
  }

  settle(call: NaiveCall, verdict: Verdict, now: number): void {
    if (call.settled) return
    call.settled = true
    if (verdict === 'neutral' || call.era !== this.era) return
    const kind = verdict === 'success' ? 'accepted' : 'failed'
    this.events.push({ rank: call.rank, epoch: this.epoch(now), kind })
  }

  rejection(now: number, rank: number): number {
    const { reactMs, unansweredMs, buckets, maxRejection } = this.settings
    const whole = (lesser: number): number =>
      this.excess(now, lesser, buckets, this.overdue(now, lesser, this.bucketsOf(unansweredMs)))
    const recent = (lesser: number): number => this.excess(now, lesser, this.bucketsOf(reactMs), 0)
    const ranks = Array.from({ length: rank + 1 }, (_, i) => i)
    return Math.min(maxRejection, Math.max(0, ...ranks.map(whole), ...ranks.map(recent)))
  }

  private excess(now: number, rank: number, buckets: number, overdue: number): number {
    const { k, rejectWeight, minRequests } = this.settings
    const count = (kind: string): number =>
      this.events.filter(
        event => event.rank === rank && event.kind === kind && event.epoch > this.epoch(now) - buckets,
      ).length
    const requests = count('accepted') + count('failed') + overdue + rejectWeight * count('rejected')
    return requests < minRequests ? 0 : (requests - k * count('accepted')) / (requests + 1)
  }

  private overdue(now: number, rank: number, young: number): number {
    const epoch = this.epoch(now)
    return this.calls.filter(
      call =>
        !call.settled &&
        call.rank === rank &&
        call.epoch > epoch - this.settings.buckets &&
        call.epoch <= epoch - young,
    ).length
  }

  private shape(): string {
    const { windowMs, buckets, reactMs, unansweredMs } = this.settings
    return [windowMs, buckets, this.bucketsOf(reactMs), this.bucketsOf(unansweredMs)].join()
  }

  private bucketsOf(ms: number): number {
    const { windowMs, buckets } = this.settings
    return Math.min(buckets, Math.max(1, Math.round(ms / (windowMs / buckets))))
  }

  private epoch(now: number): number {
    return Math.floor(now / (this.settings.windowMs / this.settings.buckets))
  }
}

test('decides what lists of everything that ever happened decide, with the same dice', () => {
  // A hand on the settings now and then, the shape of the window among them.
  const changing = fc.array(fc.oneof({ weight: 18, arbitrary: action }, { weight: 1, arbitrary: change }), {
    maxLength: 200,
    size: 'max',
  })
  fc.assert(
    fc.property(options, changing, (first, actions) => {
      let settings = first
      let dice = 0
      const clock = manualClock()
      const real = throttle({ ...settings, clock, random: () => dice })
      const naive = new NaiveThrottle(settings)
      const passes: { real: Pass; naive: NaiveCall }[] = []
      for (const action of actions) {
        const now = clock.now()
        if (action.do === 'wait') {
          clock.jump(action.ms)
          continue
        }
        if (action.do === 'update') {
          real.update(action.settings)
          naive.update(action.settings)
          settings = { ...settings, ...action.settings }
          continue
        }
        if (action.do === 'settle') {
          const pass = passes[passes.length - 1 - action.which]
          pass?.real.settle(action.verdict, now)
          if (pass !== undefined) naive.settle(pass.naive, action.verdict, now)
          continue
        }
        dice = action.dice
        const rank = criticalities.indexOf(action.criticality)
        const rejection = real.rejection(now, action.criticality)
        expect(rejection).toBeCloseTo(naive.rejection(now, rank), 9)
        expect(rejection).toBeGreaterThanOrEqual(0)
        expect(rejection).toBeLessThanOrEqual(settings.maxRejection)
        const canAdmit = real.canAdmit(now, callOf(action.criticality))
        const pass = real.admit(now, callOf(action.criticality))
        const naivePass = naive.call(now, rank, action.dice)
        expect(isRejection(pass)).toBe(naivePass === undefined)
        expect(canAdmit).toBe(naivePass !== undefined)
        if (!isRejection(pass) && naivePass !== undefined) passes.push({ real: pass, naive: naivePass })
      }
    }),
    { numRuns: 100 },
  )
})

/** A throttle after these actions, with nothing in flight, and the time. */
function after(settings: ThrottleOptions, actions: readonly Action[]) {
  const clock = manualClock()
  const real = throttle({ ...settings, clock, random: () => 1 })
  const passes: Pass[] = []
  for (const action of actions) {
    if (action.do === 'wait') clock.jump(action.ms)
    else if (action.do === 'settle')
      passes[passes.length - 1 - action.which]?.settle(action.verdict, clock.now())
    else {
      const pass = real.admit(clock.now(), callOf(action.criticality))
      if (!isRejection(pass)) passes.push(pass)
    }
  }
  for (const pass of passes) pass.settle('neutral', clock.now())
  return { real, clock }
}

test('a lesser class of calls is never better off', () => {
  fc.assert(
    fc.property(options, actions, (settings, actions) => {
      const { real, clock } = after(settings, actions)
      const rejections = criticalities.map(criticality => real.rejection(clock.now(), criticality))
      expect(rejections).toEqual(rejections.toSorted((a, b) => a - b))
    }),
  )
})

test('one more failure never lowers the rejection, one more accepted call never raises it', () => {
  fc.assert(
    fc.property(options, actions, fc.constantFrom(...criticalities), (settings, actions, criticality) => {
      const { real, clock } = after(settings, actions)
      const now = clock.now()
      const before = real.rejection(now, criticality)
      const one = (verdict: Verdict): void => {
        const pass = real.admit(now, callOf(criticality))
        if (!isRejection(pass)) pass.settle(verdict, now)
      }
      one('failure')
      const worse = real.rejection(now, criticality)
      expect(worse).toBeGreaterThanOrEqual(before)
      // Below `minRequests` nothing is rejected, and any call may be the one that makes the sample large enough.
      const counts = real.snapshot().classes[criticality]
      const enough = counts !== undefined && counts.failed >= (settings.minRequests ?? 0)
      one('success')
      if (enough) expect(real.rejection(now, criticality)).toBeLessThanOrEqual(worse + 1e-12)
    }),
  )
})

test('nothing is rejected while enough calls are accepted', () => {
  fc.assert(
    fc.property(options, fc.nat({ max: 200 }), fc.nat({ max: 200 }), (settings, good, bad) => {
      const enough = good + bad <= settings.k * good || good + bad < settings.minRequests
      fc.pre(enough)
      const real = throttle(settings)
      const passes = Array.from({ length: good + bad }, () => real.admit(5) as Pass)
      for (const [i, pass] of passes.entries()) pass.settle(i < good ? 'success' : 'failure', 5)
      expect(real.rejection(5)).toBe(0)
    }),
  )
})

test('left alone for a window it is as new', () => {
  fc.assert(
    fc.property(options, actions, fc.nat({ max: 100_000 }), (settings, actions, more) => {
      const { real, clock } = after(settings, actions)
      clock.jump(settings.windowMs + more)
      for (const criticality of criticalities) expect(real.rejection(clock.now(), criticality)).toBe(0)
      for (const counts of Object.values(real.snapshot().classes)) {
        expect(counts).toEqual({ accepted: 0, failed: 0, rejected: 0, overdue: 0, rejection: 0 })
      }
    }),
  )
})

test('calls that say nothing leave no trace', () => {
  fc.assert(
    fc.property(options, actions, fc.integer({ min: 1, max: 50 }), (settings, actions, count) => {
      const { real, clock } = after(settings, actions)
      real.canAdmit(clock.now())
      const before = real.snapshot().classes.critical
      fc.pre(before !== undefined)
      const passes = Array.from({ length: count }, () => real.admit(clock.now()) as Pass)
      for (const pass of passes) pass.settle('neutral', clock.now())
      expect(real.snapshot().classes.critical).toEqual(before)
    }),
  )
})
