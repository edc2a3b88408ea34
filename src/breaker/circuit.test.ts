import { expect, test } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { isRejection, type Rejection } from '../core/rejection.ts'
import { type ManualClock, manualClock } from '../testing/index.ts'
import type { Pass } from './breaker.ts'
import { type Circuit, circuit } from './circuit.ts'
import { type CircuitChange, circuitChanged } from './circuit-event.ts'
import type { CircuitOptions } from './circuit-options.ts'

function made(options: CircuitOptions = {}): { real: Circuit; clock: ManualClock } {
  const clock = manualClock()
  return { real: circuit({ jitterRatio: 0, ...options, clock }), clock }
}

function admit(real: Circuit, clock: ManualClock): Pass {
  const pass = real.admit(clock.now())
  if (isRejection(pass)) throw pass
  return pass
}

function succeed(real: Circuit, clock: ManualClock, times = 1): void {
  for (let i = 0; i < times; i++) admit(real, clock).settle('success', clock.now())
}

function fail(real: Circuit, clock: ManualClock, times = 1): void {
  for (let i = 0; i < times; i++) admit(real, clock).settle('failure', clock.now())
}

test('from 20 calls up, half of them failed within 10 s open it for 5 s: the rule of Hystrix is the default', () => {
  const { real, clock } = made()
  succeed(real, clock, 10)
  fail(real, clock, 9)
  expect(real.state).toBe('closed')
  fail(real, clock)
  expect(real.state).toBe('open')
  clock.jump(4_999)
  expect(real.state).toBe('open')
  clock.jump(1)
  expect(real.state).toBe('half-open')
})

test('a rule of ones own is one line', () => {
  const { real, clock } = made({ minimum: 100, failureRatio: 0.25 })
  succeed(real, clock, 75)
  fail(real, clock, 24)
  expect(real.state).toBe('closed')
  fail(real, clock)
  expect(real.state).toBe('open')
})

test('a refusal says how long the circuit stays open, and never by an object that two calls share', () => {
  const { real, clock } = made({ name: 'payment', consecutiveFailures: 1 })
  fail(real, clock)
  clock.jump(1_200)
  const refused = real.admit(clock.now()) as Rejection
  expect(isRejection(refused, 'breaker-open')).toBe(true)
  expect(refused).toMatchObject({ policy: 'payment', retry: 'never', retryAfterMs: 3_800, begun: false })
  expect(real.admit(clock.now())).not.toBe(refused)
})

test('a circuit that guards one endpoint of several sends the caller elsewhere', () => {
  const { real, clock } = made({ retry: 'elsewhere', consecutiveFailures: 1 })
  fail(real, clock)
  expect((real.admit(clock.now()) as Rejection).retry).toBe('elsewhere')
})

test('opens when too many calls are slow, though all of them succeed', () => {
  const { real, clock } = made({ slowMs: 100, slowRatio: 0.5, minimum: 4 })
  for (const ms of [50, 150, 100, 101]) {
    const pass = admit(real, clock)
    clock.jump(ms)
    expect(real.state).toBe('closed')
    pass.settle('success', clock.now())
  }
  expect(real.state).toBe('open')
  expect(real.snapshot()).toMatchObject({ total: 4, failures: 0, slow: 2 })
})

test('a probe that succeeds slowly does not close it', () => {
  const { real, clock } = made({ slowMs: 100, consecutiveFailures: 1, successesToClose: 1 })
  fail(real, clock)
  clock.jump(5_000)
  const probe = admit(real, clock)
  clock.jump(200)
  probe.settle('success', clock.now())
  expect(real.state).toBe('open')
})

test('opens after failures in a row, and one success starts the count again', () => {
  const { real, clock } = made({ consecutiveFailures: 3 })
  fail(real, clock, 2)
  succeed(real, clock)
  fail(real, clock, 2)
  expect(real.state).toBe('closed')
  fail(real, clock)
  expect(real.state).toBe('open')
})

test('stays open longer after each trial that fails, up to a limit, and not after it has closed', () => {
  const { real, clock } = made({
    consecutiveFailures: 1,
    openMs: 1_000,
    maxOpenMs: 3_000,
    successesToClose: 1,
  })
  const openFor: number[] = []
  for (let trial = 0; trial < 4; trial++) {
    fail(real, clock)
    openFor.push(real.snapshot().openForMs)
    clock.jump(3_000)
  }
  expect(openFor).toEqual([1_000, 2_000, 3_000, 3_000])
  succeed(real, clock)
  fail(real, clock)
  expect(real.snapshot().openForMs).toBe(1_000)
})

test('jitter spreads the time that it stays open', () => {
  const clock = manualClock()
  for (const [random, ms] of [
    [0, 900],
    [0.5, 1_000],
    [1, 1_100],
  ] as const) {
    const real = circuit({ consecutiveFailures: 1, openMs: 1_000, clock, random: () => random })
    fail(real, clock)
    expect(real.snapshot().openForMs).toBeCloseTo(ms)
  }
})

// Traps that other breakers fall into.

test('an hour of silence empties the window: old failures do not join with one of today', () => {
  const { real, clock } = made({ minimum: 5, windowMs: 5_000 })
  fail(real, clock, 4)
  clock.jump(3_600_000)
  fail(real, clock)
  expect(real.state).toBe('closed')
  expect(real.snapshot().total).toBe(1)
})

test('failures in a row that lie an hour apart are not in a row', () => {
  const { real, clock } = made({ consecutiveFailures: 5 })
  fail(real, clock, 4)
  clock.jump(3_600_000)
  fail(real, clock)
  expect(real.state).toBe('closed')
})

test('while one probe is out a thousand callers are refused at once, and none of them runs when it succeeds', () => {
  const { real, clock } = made({ consecutiveFailures: 1, successesToClose: 1 })
  fail(real, clock)
  clock.jump(5_000)
  const probe = admit(real, clock)
  const answers = Array.from({ length: 1_000 }, () => real.admit(clock.now()))
  expect(answers.every(answer => isRejection(answer))).toBe(true)
  probe.settle('success', clock.now())
  expect(real.state).toBe('closed')
  expect(real.snapshot()).toMatchObject({ admitted: 2, refused: 1_000 })
})

test('the failure of a call from before the opening does not reopen a circuit that is being tried', () => {
  const { real, clock } = made({ consecutiveFailures: 1, successesToClose: 1 })
  const old = admit(real, clock)
  fail(real, clock)
  clock.jump(5_000)
  const probe = admit(real, clock)
  old.settle('failure', clock.now())
  expect(real.state).toBe('half-open')
  probe.settle('success', clock.now())
  expect(real.state).toBe('closed')
})

test('the success of a call from before the opening does not close a circuit that is being tried', () => {
  const { real, clock } = made({ consecutiveFailures: 1, successesToClose: 1 })
  const old = admit(real, clock)
  fail(real, clock)
  clock.jump(5_000)
  admit(real, clock)
  old.settle('success', clock.now())
  expect(real.state).toBe('half-open')
})

test('a probe that never settles does not keep the circuit half open for ever', () => {
  const { real, clock } = made({ consecutiveFailures: 1, successesToClose: 1, probeTimeoutMs: 2_000 })
  fail(real, clock)
  clock.jump(5_000)
  const lost = admit(real, clock)
  clock.jump(2_000)
  expect(real.state).toBe('open')
  clock.jump(10_000)
  succeed(real, clock)
  expect(real.state).toBe('closed')
  lost.settle('failure', clock.now())
  expect(real.snapshot().total).toBe(0)
})

test('the lease of a probe ends shortly after the deadline of its call', () => {
  const { real, clock } = made({ consecutiveFailures: 1, lostProbe: 'neutral' })
  fail(real, clock)
  clock.jump(5_000)
  real.admit(clock.now(), { criticality: 'critical', deadline: clock.now() + 300 })
  clock.jump(349)
  expect(real.canAdmit(clock.now())).toBe(false)
  clock.jump(1)
  expect(real.canAdmit(clock.now())).toBe(true)
})

test('a probe that times out has failed, and is not lost', () => {
  const { real, clock } = made({ consecutiveFailures: 1, lostProbe: 'neutral' })
  fail(real, clock)
  clock.jump(5_000)
  const probe = real.admit(clock.now(), { criticality: 'critical', deadline: clock.now() + 300 }) as Pass
  clock.jump(305)
  probe.settle('failure', clock.now())
  expect(real.state).toBe('open')
})

test('the time that it stays open runs from the opening, not from the making of the circuit', () => {
  const { real, clock } = made({ consecutiveFailures: 1 })
  clock.jump(60_000)
  fail(real, clock)
  expect(real.snapshot().openForMs).toBe(5_000)
})

test('calls that it refused do not thin out the share of failures', () => {
  const { real, clock } = made({ minimum: 2, successesToClose: 1 })
  fail(real, clock, 2)
  for (let i = 0; i < 1_000; i++) real.admit(clock.now())
  expect(real.snapshot()).toMatchObject({ total: 2, failures: 2 })
})

test('what it keeps does not grow with the number of calls', () => {
  const { real, clock } = made({ minimum: 1e9, failureRatio: 1 })
  fail(real, clock, 100)
  const { window } = real.snapshot()
  fail(real, clock, 100_000)
  expect(JSON.stringify(real.snapshot().window).length - JSON.stringify(window).length).toBeLessThan(20)
})

test('a failing call costs the same whether a hundred calls are in the window or a hundred thousand', () => {
  const costOf = (samples: number): number => {
    const { real, clock } = made({ minimum: 1e9, failureRatio: 1 })
    succeed(real, clock, samples)
    const rounds = Array.from({ length: 9 }, () => {
      const start = performance.now()
      fail(real, clock, 2_000)
      return performance.now() - start
    })
    return Math.min(...rounds)
  }
  costOf(100)
  // Where the cost grows with the samples it is a thousand times as high, so no noise of a machine matters.
  expect(costOf(100_000) / costOf(100)).toBeLessThan(10)
})

test('of the last failure only name and message are kept, cut short', () => {
  const { real, clock } = made()
  const error = Object.assign(new RangeError('x'.repeat(500)), { request: { secret: 1 } })
  admit(real, clock).settle('failure', clock.now(), error)
  expect(real.snapshot().lastFailure).toBe(`RangeError: ${'x'.repeat(108)}`)
  admit(real, clock).settle('failure', clock.now(), Object.create(null))
  expect(real.snapshot().lastFailure).toBe('object')
})

// By hand.

test('forced open it refuses everything until it is let go, and is then tried first', () => {
  const { real, clock } = made({ successesToClose: 1 })
  real.forceOpen()
  clock.jump(3_600_000)
  expect(real.admit(clock.now())).toMatchObject({ reason: 'breaker-open', retryAfterMs: undefined })
  real.auto()
  expect(real.state).toBe('half-open')
  succeed(real, clock)
  expect(real.state).toBe('closed')
})

test('forced closed or disabled it counts and lets everything in', () => {
  for (const control of ['forceClosed', 'disable'] as const) {
    const { real, clock } = made({ consecutiveFailures: 1 })
    real[control]()
    fail(real, clock, 50)
    expect(real.snapshot()).toMatchObject({ total: 50, failures: 50, admitted: 50, refused: 0 })
    real.auto()
    expect(real.state).toBe('closed')
    expect(real.snapshot().total).toBe(0)
  }
})

test('letting go of a circuit that nobody holds changes nothing', () => {
  const { real, clock } = made({ consecutiveFailures: 1 })
  fail(real, clock)
  real.auto()
  expect(real.state).toBe('open')
})

test('every change of state is told once, with what the window held', () => {
  const changes: CircuitChange[] = []
  const off = circuitChanged.on(change => {
    if (change.circuit === 'told') changes.push(change)
  })
  const { real, clock } = made({ name: 'told', minimum: 2, successesToClose: 1 })
  const start = clock.now()
  fail(real, clock, 2)
  clock.jump(5_500)
  succeed(real, clock)
  off()
  fail(real, clock, 2)
  expect(changes).toEqual([
    {
      circuit: 'told',
      from: 'closed',
      to: 'open',
      cause: 'failure-ratio',
      at: start,
      total: 2,
      failures: 2,
      slow: 0,
      openForMs: 5_000,
    },
    {
      circuit: 'told',
      from: 'open',
      to: 'half-open',
      cause: 'waited',
      at: start + 5_000,
      total: 2,
      failures: 2,
      slow: 0,
      openForMs: 0,
    },
    {
      circuit: 'told',
      from: 'half-open',
      to: 'closed',
      cause: 'probes-succeeded',
      at: start + 5_500,
      total: 0,
      failures: 0,
      slow: 0,
      openForMs: 0,
    },
  ])
})

test('whoever is told of a change may take the circuit in hand, and what the hand says holds', () => {
  const { real, clock } = made({
    name: 'in hand',
    consecutiveFailures: 1,
    openMs: 10,
    probeTimeoutMs: 10,
    maxOpenMs: 10,
  })
  fail(real, clock)
  clock.jump(10)
  admit(real, clock)
  const off = circuitChanged.on(change => {
    if (change.cause === 'probe-lost') real.forceOpen()
  })
  // The lease of the probe and the time after it are over before anybody looks.
  clock.jump(1_000)
  expect(real.state).toBe('forced-open')
  off()
  clock.jump(1_000)
  expect(isRejection(real.admit(clock.now()))).toBe(true)
})

test('after two thousand trials that failed it still knows when the next is due, whatever the dice say', () => {
  const { real, clock } = made({ consecutiveFailures: 1, jitterRatio: 1, random: () => 0, openMs: 1 })
  for (let i = 0; i < 2_000; i++) {
    fail(real, clock)
    expect(real.canAdmit(clock.now())).toBe(true)
  }
})

test('settings change while calls are in flight, all of them or none', () => {
  const { real, clock } = made({ minimum: 10 })
  fail(real, clock, 5)
  expect(() => real.update({ minimum: 5, failureRatio: 2 })).toThrow('failureRatio')
  fail(real, clock)
  expect(real.state).toBe('closed')
  real.update({ minimum: 7, windowMs: 20_000, buckets: 20 })
  expect(real.snapshot().total).toBe(6)
  fail(real, clock)
  expect(real.state).toBe('open')
})

test('a probe that was lost before the settings changed is judged by those of before', () => {
  const { real, clock } = made({ consecutiveFailures: 1, probeTimeoutMs: 100 })
  fail(real, clock)
  clock.jump(5_000)
  admit(real, clock)
  clock.jump(100)
  real.update({ lostProbe: 'neutral', openMs: 1_000 })
  expect(real.snapshot()).toMatchObject({ state: 'open', reopens: 1, openForMs: 10_000 })
})

test('what is no snapshot is not restored, nor any part of it', () => {
  const clock = manualClock()
  const real = circuit({ clock, consecutiveFailures: 1 })
  ;(real.admit(clock.now()) as Pass).settle('failure', clock.now())
  const before = real.snapshot()
  const good = JSON.parse(JSON.stringify(before)) as Record<string, unknown>
  const other = circuit({ clock })
  const untouched = other.snapshot()
  const bad: Record<string, unknown>[] = [
    { state: 'ajar' },
    { openForMs: null },
    { openForMs: Number.NaN },
    { openForMs: -1 },
    { reopens: 0.5 },
    { streak: '1' },
    { probes: undefined },
    { probes: { successes: -1, failures: 0 } },
    { window: undefined },
    { window: { ...before.window, bucketMs: 0 } },
    { window: { ...before.window, sinceBucketStartMs: null } },
    { window: { ...before.window, counts: [1] } },
    { window: { ...before.window, counts: [[1, 0, 0, 9]] } },
    { window: { ...before.window, counts: [[1, null, 0]] } },
  ]
  for (const part of bad) {
    expect(() => other.restore({ ...good, ...part } as never)).toThrow(/Expected `snapshot\./)
    expect(other.snapshot()).toEqual(untouched)
  }
  other.restore(good as never)
  expect(other.state).toBe('open')
})

test('options are checked', () => {
  expect(() => circuit({ failureRatio: 0 })).toThrow(
    'Expected `failureRatio` to be a number above 0 to 1, got 0',
  )
  expect(() => circuit({ minimum: 1.5 })).toThrow(
    'Expected `minimum` to be a whole number from 1 up, got 1.5',
  )
  expect(() => circuit({ openMs: Number.POSITIVE_INFINITY })).toThrow('openMs')
  expect(() => circuit({ threshold: 5 } as never)).toThrow('circuit has no option `threshold`')
})

test('one with a name is listed, and reset forgets', () => {
  const { real, clock } = made({ name: 'listed-circuit', consecutiveFailures: 1 })
  fail(real, clock)
  expect(inspect().find(line => line.name === 'listed-circuit')?.snapshot).toMatchObject({ state: 'open' })
  real.reset()
  expect(real.snapshot()).toEqual(made().real.snapshot())
})
