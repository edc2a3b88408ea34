import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { isRejection, type Rejection } from '../core/rejection.ts'
import { manualClock } from '../testing/index.ts'
import type { Pass } from './breaker.ts'
import { type Throttle, type ThrottleOptions, throttle } from './throttle.ts'

/** The formula of the SRE book and nothing else. */
const literal: ThrottleOptions = {
  rejectWeight: 1,
  maxRejection: 1,
  probesPerSecond: 0,
  minRequests: 0,
  reactMs: 10_000,
}

/** A small generator with a seed, so that a simulation comes out the same every time. */
function dice(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 0) / 2 ** 32
  }
}

interface Second {
  offered: number
  sent: number
  accepted: number
}

/** A client that offers `rps` to a backend that serves `capacity(second)` a second and answers at once. */
function simulate(
  real: Throttle,
  rps: number,
  seconds: number,
  capacity: (second: number) => number,
): readonly Second[] {
  const gapMs = 1_000 / rps
  const result: Second[] = []
  let room = 0
  for (let second = 0; second < seconds; second++) {
    const counts = { offered: 0, sent: 0, accepted: 0 }
    const serves = capacity(second)
    for (let i = 0; i < rps; i++) {
      const now = 1_000 + second * 1_000 + i * gapMs
      room = Math.min(room + serves / rps, Math.max(1, serves / 10))
      counts.offered++
      const pass = real.admit(now)
      if (isRejection(pass)) continue
      counts.sent++
      if (room < 1) {
        pass.settle('failure', now)
        continue
      }
      room--
      counts.accepted++
      pass.settle('success', now)
    }
    result.push(counts)
  }
  return result
}

function sum(seconds: readonly Second[], field: keyof Second): number {
  return seconds.reduce((total, second) => total + second[field], 0)
}

/** Seconds from the return of the backend until everything that is offered is accepted, for three seconds on end. */
function recoveryS(seconds: readonly Second[], backAt: number): number {
  const full = (second: Second | undefined): boolean =>
    second !== undefined && second.accepted === second.offered
  for (let s = backAt; s < seconds.length; s++) {
    if (full(seconds[s]) && full(seconds[s + 1]) && full(seconds[s + 2])) return s - backAt
  }
  return Infinity
}

const outage = (from: number, to: number) => (second: number) => (second >= from && second < to ? 0 : 1e9)

test('60 s of total outage at 1,000 calls a second: full traffic 6 s after it, under 5 % sent during it', () => {
  const seconds = simulate(throttle({ random: dice(1) }), 1_000, 140, outage(30, 90))
  expect(recoveryS(seconds, 90)).toBeLessThanOrEqual(6)
  const during = seconds.slice(30, 90)
  const probes = 60
  expect(sum(during, 'sent')).toBeLessThan(0.05 * sum(during, 'offered') + probes)
  // Before the outage and long after it nothing is held back.
  expect(sum(seconds.slice(0, 30), 'sent')).toBe(30_000)
  expect(sum(seconds.slice(110), 'sent')).toBe(30_000)
})

test('the literal formula takes several windows to let traffic through again', () => {
  const seconds = simulate(throttle({ ...literal, random: dice(1) }), 1_000, 200, outage(30, 90))
  expect(recoveryS(seconds, 90)).toBeGreaterThan(40)
  expect(sum(seconds.slice(80, 90), 'sent')).toBeLessThan(20)
})

test('recovers within two windows at any rate, from any outage', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(5, 20, 100, 500),
      fc.integer({ min: 5, max: 100 }),
      fc.integer(),
      (rps, length, seed) => {
        const seconds = simulate(
          throttle({ random: dice(seed) }),
          rps,
          30 + length + 30,
          outage(20, 20 + length),
        )
        expect(recoveryS(seconds, 20 + length)).toBeLessThanOrEqual(20)
      },
    ),
    { numRuns: 30 },
  )
})

test('during a total outage at least the probes go through, and at most they and the share that is never rejected', () => {
  fc.assert(
    fc.property(fc.constantFrom(20, 100, 1_000), fc.integer(), (rps, seed) => {
      const seconds = simulate(throttle({ random: dice(seed) }), rps, 60, outage(20, 60))
      for (const second of seconds.slice(35)) expect(second.sent).toBeGreaterThanOrEqual(1)
      const during = seconds.slice(35)
      const expected = during.length * (0.02 * rps + 1)
      expect(sum(during, 'sent')).toBeLessThan(expected + 5 * Math.sqrt(expected))
    }),
    { numRuns: 20 },
  )
})

// With k near 1 or few calls a chance gap in what is sent goes unserved, is held against the backend, and grows.
test('under steady overload the literal formula sends k times what the backend serves', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1.5, max: 3, noNaN: true }),
      fc.integer({ min: 100, max: 300 }),
      fc.double({ min: 1.3, max: 4, noNaN: true }),
      fc.integer(),
      (k, capacity, surplus, seed) => {
        // More is offered than k times what is served: below that there is nothing to reject.
        const rps = Math.ceil(k * capacity * surplus)
        const real = throttle({ ...literal, k, random: dice(seed) })
        const seconds = simulate(real, rps, 80, () => capacity).slice(30)
        const sent = sum(seconds, 'sent') / seconds.length / capacity
        expect(sent).toBeGreaterThan(0.9 * k)
        expect(sent).toBeLessThan(1.1 * k)
      },
    ),
    { numRuns: 25 },
  )
})

test('below k times what the backend serves the literal formula rejects a twentieth at most', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1.5, max: 3, noNaN: true }),
      fc.integer({ min: 100, max: 300 }),
      fc.double({ min: 0.2, max: 0.85, noNaN: true }),
      fc.integer(),
      (k, capacity, share, seed) => {
        const real = throttle({ ...literal, k, random: dice(seed) })
        const rps = Math.ceil(k * capacity * share)
        const seconds = simulate(real, rps, 60, () => capacity).slice(20)
        expect(sum(seconds, 'sent') / sum(seconds, 'offered')).toBeGreaterThan(0.95)
      },
    ),
    { numRuns: 15 },
  )
})

test('under steady overload the backend is kept busy, and relieved of part of the surplus', () => {
  const seconds = simulate(throttle({ random: dice(4) }), 1_000, 90, () => 200).slice(30)
  expect(sum(seconds, 'accepted') / seconds.length).toBeGreaterThan(195)
  expect(sum(seconds, 'sent') / seconds.length).toBeLessThan(700)
})

test('a burst of calls in flight to a healthy dependency is not taken for a failing one', () => {
  const real = throttle()
  const passes = Array.from({ length: 500 }, (_, i) => real.admit(1_000 + i) as Pass)
  expect(passes.some(pass => isRejection(pass))).toBe(false)
  for (const [i, pass] of passes.entries()) pass.settle('success', 2_000 + i)
  expect(real.rejection(2_600)).toBe(0)
})

test('a dependency that takes most of a window for each answer is not throttled for it', () => {
  const real = throttle({ random: () => 1 })
  const inFlight: Pass[] = []
  for (let now = 0; now < 60_000; now += 100) {
    inFlight.push(real.admit(now) as Pass)
    if (now >= 8_000) inFlight.shift()!.settle('success', now)
    if (now > 20_000) expect(real.rejection(now)).toBe(0)
  }
})

test('calls that hang are noticed though none of them has failed yet', () => {
  const real = throttle({ random: () => 0 })
  for (let i = 0; i < 100; i++) (real.admit(1_000) as Pass).settle('success', 1_000)
  const hanging = Array.from({ length: 200 }, () => real.admit(2_000) as Pass)
  expect(real.rejection(4_000)).toBe(0)
  expect(real.rejection(5_000)).toBeGreaterThan(0.3)
  for (const pass of hanging) pass.settle('success', 5_000)
  expect(real.rejection(5_000)).toBe(0)
})

test('classes are judged apart, so that calls which are served go on while lesser ones are shed', () => {
  const real = throttle({ random: () => 0.5 })
  const send = (criticality: 'critical' | 'sheddable', verdict: 'success' | 'failure'): void => {
    const pass = real.admit(1_000, { criticality, deadline: Infinity })
    if (!isRejection(pass)) pass.settle(verdict, 1_000)
  }
  for (let i = 0; i < 100; i++) {
    send('critical', 'success')
    send('sheddable', 'failure')
  }
  expect(real.rejection(1_000, 'critical-plus')).toBe(0)
  expect(real.rejection(1_000, 'critical')).toBe(0)
  expect(real.rejection(1_000, 'sheddable')).toBeGreaterThan(0.9)
})

test('a rejection says by whom and that nobody should try again', () => {
  const real = throttle({ name: 'orders', random: () => 0, minRequests: 1 })
  for (let i = 0; i < 50; i++) (real.admit(1_000) as Pass).settle?.('failure', 1_000)
  const refused = real.admit(1_000) as Rejection
  expect(isRejection(refused, 'throttled')).toBe(true)
  expect(refused).toMatchObject({ policy: 'orders', retry: 'never', begun: false })
  expect(real.admit(1_000)).not.toBe(refused)
})

test('settings change while calls are in flight, all of them or none', () => {
  const clock = manualClock()
  const real = throttle({ clock, random: () => 0 })
  const pass = real.admit(clock.now()) as Pass
  expect(() => real.update({ k: 3, maxRejection: 2 })).toThrow(
    'Expected `maxRejection` to be a number from 0 to 1, got 2',
  )
  real.update({ k: 3 })
  pass.settle('success', clock.now())
  expect(real.snapshot().classes.critical?.accepted).toBe(1)
  real.update({ windowMs: 5_000 })
  expect(real.snapshot().classes).toEqual({})
  expect(() => real.update({ name: 'other' })).toThrow('throttle.update has no option `name`')
})

test('options are checked', () => {
  expect(() => throttle({ k: 0.5 })).toThrow('Expected `k` to be a number from 1 up, got 0.5')
  expect(() => throttle({ windowMs: Number.NaN })).toThrow('windowMs')
  expect(() => throttle({ retry: 'later' as never })).toThrow("one of 'never', 'elsewhere'")
  expect(() => throttle({ windowSize: 3 } as never)).toThrow('throttle has no option `windowSize`')
})

test('one with a name is listed, and reset forgets', () => {
  const real = throttle({ name: 'listed-throttle' })
  expect(inspect().some(line => line.name === 'listed-throttle')).toBe(true)
  ;(real.admit(1) as Pass).settle('success', 1)
  real.reset()
  expect(real.snapshot()).toEqual({ admitted: 0, refused: 0, classes: {} })
})
