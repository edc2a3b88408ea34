import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isRejection } from '../core/rejection.ts'
import { type ManualClock, manualClock } from '../testing/index.ts'
import type { Pass, Verdict } from './breaker.ts'
import { type Circuit, circuit } from './circuit.ts'
import { type CircuitChange, circuitChanged } from './circuit-event.ts'
import { type CircuitOptions, type CircuitSettings, circuitDefaults } from './circuit-options.ts'
import type { CircuitState } from './circuit-state.ts'

const verdicts: readonly Verdict[] = ['success', 'failure', 'neutral']

const options: fc.Arbitrary<CircuitOptions> = fc.record({
  failureRatio: fc.constantFrom(0.2, 0.5, 1),
  slowMs: fc.constantFrom(50, Infinity),
  slowRatio: fc.constantFrom(0.3, 1),
  minimum: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constant(100)),
  consecutiveFailures: fc.constantFrom(1, 3, Infinity),
  windowMs: fc.constantFrom(100, 1_000),
  buckets: fc.constantFrom(1, 4, 10),
  openMs: fc.constantFrom(30, 500),
  openFactor: fc.constantFrom(1, 2),
  maxOpenMs: fc.constantFrom(500, 1_500),
  probes: fc.integer({ min: 1, max: 3 }),
  successesToClose: fc.integer({ min: 1, max: 3 }),
  probeFailures: fc.nat({ max: 1 }),
  probeTimeoutMs: fc.constantFrom(40, 400),
  lostProbe: fc.constantFrom('failure' as const, 'neutral' as const),
})

type Action =
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'call'; readonly timeoutMs: number }
  | { readonly do: 'settle'; readonly which: number; readonly verdict: Verdict }
  | { readonly do: 'update'; readonly settings: CircuitOptions }
  | { readonly do: 'force'; readonly to: 'forceOpen' | 'forceClosed' | 'disable' | 'auto' | 'reset' }

const wait = fc.record({
  do: fc.constant('wait' as const),
  ms: fc.oneof(fc.nat({ max: 60 }), fc.nat({ max: 60 }), fc.constantFrom(100, 500, 1_000, 3_600_000)),
})
const call = fc.record({ do: fc.constant('call' as const), timeoutMs: fc.constantFrom(20, 100, Infinity) })
const settle = fc.record({
  do: fc.constant('settle' as const),
  which: fc.oneof(fc.constant(0), fc.nat({ max: 7 })),
  verdict: fc.constantFrom(
    'success' as const,
    'success' as const,
    'failure' as const,
    'failure' as const,
    'neutral' as const,
  ),
})
const force = fc.record({
  do: fc.constant('force' as const),
  to: fc.constantFrom(
    'forceOpen' as const,
    'forceClosed' as const,
    'disable' as const,
    'auto' as const,
    'reset' as const,
  ),
})
const update = fc.record({
  do: fc.constant('update' as const),
  settings: fc.oneof(
    options,
    // Buckets of whole milliseconds, so that both round alike.
    fc.record({ windowMs: fc.constantFrom(100, 300, 1_000), buckets: fc.constantFrom(1, 4, 5, 10) }),
  ),
})
/** Mostly calls and how they end, a hand on the switch now and then. */
const weighed = [
  { weight: 12, arbitrary: wait },
  { weight: 24, arbitrary: call },
  { weight: 32, arbitrary: settle },
  { weight: 1, arbitrary: force },
]
const length = { maxLength: 150, size: 'max' } as const
const actions: fc.Arbitrary<readonly Action[]> = fc.array(fc.oneof(...weighed), length)
const changing: fc.Arbitrary<readonly Action[]> = fc.array(
  fc.oneof(...weighed, { weight: 2, arbitrary: update }),
  length,
)

interface NaivePass {
  readonly era: object
  readonly at: number
  readonly leaseUntil: number
  settled: boolean
}

interface Result {
  readonly epoch: number
  readonly failed: boolean
  readonly slow: boolean
}

/** The same circuit, written for its meaning: a list of every result since the circuit was closed, and no shortcut. */
class NaiveCircuit {
  state: CircuitState = 'closed'
  readonly edges: string[] = []
  private era: object = {}
  private results: Result[] = []
  private openUntil = 0
  private reopens = 0
  private probes: NaivePass[] = []
  private successes = 0
  private failures = 0
  /** When the buckets of the window are counted from. */
  private origin = 0
  private options: CircuitSettings

  constructor(options: CircuitSettings) {
    this.options = options
  }

  /** Results keep the start of their bucket, or are put into the one before it where that would make them newer. */
  update(options: CircuitOptions, now: number): void {
    this.passTime(now)
    const before = this.bucketMs
    const kept = this.kept(now)
    const epoch = this.epoch(now)
    const { buckets } = this.options
    this.options = { ...this.options, ...options }
    if (this.bucketMs === before && this.options.buckets === buckets) return
    this.origin += epoch * before
    const oldest = -this.options.buckets
    this.results = kept
      .map(result => ({ ...result, epoch: -Math.ceil((epoch - result.epoch) * (before / this.bucketMs)) }))
      .filter(result => result.epoch > oldest)
  }

  call(now: number, deadline: number): NaivePass | undefined {
    this.passTime(now)
    if (this.state === 'open' || this.state === 'forced-open') return undefined
    const pass = {
      era: this.era,
      at: now,
      leaseUntil: Math.min(deadline + 50, now + this.options.probeTimeoutMs),
      settled: false,
    }
    if (this.state !== 'half-open') return pass
    if (this.probes.length >= this.options.probes) return undefined
    this.probes.push(pass)
    return pass
  }

  settle(pass: NaivePass, verdict: Verdict, now: number): void {
    this.passTime(now)
    if (pass.settled) return
    pass.settled = true
    if (pass.era !== this.era) return
    const slow = now - pass.at > this.options.slowMs
    if (this.state === 'half-open') {
      if (!this.probes.includes(pass)) return
      this.probes = this.probes.filter(probe => probe !== pass)
      if (verdict === 'neutral') return
      if (verdict === 'failure' || slow) this.probeFailed(now)
      else if (++this.successes >= this.options.successesToClose) this.close()
      return
    }
    if (verdict === 'neutral') return
    this.results.push({ epoch: this.epoch(now), failed: verdict === 'failure', slow })
    if (this.state === 'closed' && this.bad(now)) this.open(now)
  }

  passTime(now: number): void {
    for (;;) {
      if (this.state === 'open' && now >= this.openUntil) this.go('half-open')
      if (this.state !== 'half-open') return
      const [lost] = this.probes
        .filter(probe => probe.leaseUntil <= now)
        .sort((a, b) => a.leaseUntil - b.leaseUntil)
      if (lost === undefined) return
      this.probes = this.probes.filter(probe => probe !== lost)
      if (this.options.lostProbe === 'failure') this.probeFailed(lost.leaseUntil)
    }
  }

  force(to: string, now: number): void {
    // Forcing does not ask what time has changed: whatever state it was in is over.
    if (to === 'reset') this.close()
    else if (to === 'auto') {
      if (this.state === 'forced-open') this.go('half-open')
      else if (this.state === 'forced-closed' || this.state === 'disabled') this.close()
    } else {
      const state = (
        { forceOpen: 'forced-open', forceClosed: 'forced-closed', disable: 'disabled' } as const
      )[to]!
      if (state === this.state) return
      if (this.state !== 'closed') this.results = []
      this.reopens = 0
      this.go(state)
    }
    this.passTime(now)
  }

  counts(now: number): object {
    const kept = this.kept(now)
    return {
      state: this.state,
      total: kept.length,
      failures: kept.filter(result => result.failed).length,
      slow: kept.filter(result => result.slow).length,
      openForMs: this.state === 'open' ? this.openUntil - now : 0,
      reopens: this.reopens,
      probes: { inFlight: this.probes.length, successes: this.successes, failures: this.failures },
    }
  }

  private bad(now: number): boolean {
    const { minimum, failureRatio, slowRatio, consecutiveFailures } = this.options
    const kept = this.kept(now)
    const failures = kept.filter(result => result.failed).length
    const slow = kept.filter(result => result.slow).length
    const lastGood = kept.findLastIndex(result => !result.failed)
    return (
      (kept.length >= minimum && failures > 0 && failures / kept.length >= failureRatio) ||
      (kept.length >= minimum && slow > 0 && slow / kept.length >= slowRatio) ||
      kept.length - 1 - lastGood >= consecutiveFailures
    )
  }

  private probeFailed(at: number): void {
    this.failures++
    if (this.failures <= this.options.probeFailures) return
    this.reopens++
    this.open(at)
  }

  private open(at: number): void {
    const { openMs, openFactor, maxOpenMs } = this.options
    this.openUntil = at + Math.min(Math.max(openMs, maxOpenMs), openMs * openFactor ** this.reopens)
    this.go('open')
  }

  private close(): void {
    this.results = []
    this.reopens = 0
    this.go('closed')
  }

  private go(state: CircuitState): void {
    if (state !== this.state) this.edges.push(`${this.state} > ${state}`)
    this.state = state
    this.era = {}
    this.probes = []
    this.successes = 0
    this.failures = 0
  }

  private kept(now: number): Result[] {
    return this.results.filter(result => result.epoch > this.epoch(now) - this.options.buckets)
  }

  private epoch(now: number): number {
    return Math.floor((now - this.origin) / this.bucketMs)
  }

  private get bucketMs(): number {
    return this.options.windowMs / this.options.buckets
  }
}

function made(options: CircuitOptions): { clock: ManualClock; real: Circuit; naive: NaiveCircuit } {
  const clock = manualClock()
  // A middling random number spreads nothing.
  const real = circuit({ ...options, clock, random: () => 0.5 })
  return { clock, real, naive: new NaiveCircuit({ ...circuitDefaults, ...options } as CircuitSettings) }
}

function countsOf(real: Circuit): object {
  const { state, total, failures, slow, openForMs, reopens, probes } = real.snapshot()
  return { state, total, failures, slow, openForMs, reopens, probes }
}

/** Plays actions against both; calls `check` after each but the waits. */
function play(
  options: CircuitOptions,
  actions: readonly Action[],
  check: (real: Circuit, naive: NaiveCircuit, now: number) => void,
): { clock: ManualClock; real: Circuit; naive: NaiveCircuit; passes: { real: Pass; naive: NaivePass }[] } {
  const { clock, real, naive } = made(options)
  const passes: { real: Pass; naive: NaivePass }[] = []
  for (const action of actions) {
    const now = clock.now()
    if (action.do === 'wait') {
      // Nobody looks: what the time has changed must come out right at the next action.
      clock.jump(action.ms)
      continue
    }
    if (action.do === 'call') {
      const call = { criticality: 'critical', deadline: now + action.timeoutMs } as const
      const canAdmit = real.canAdmit(now)
      const pass = real.admit(now, call)
      const naivePass = naive.call(now, now + action.timeoutMs)
      expect(isRejection(pass)).toBe(naivePass === undefined)
      expect(canAdmit).toBe(naivePass !== undefined)
      if (!isRejection(pass) && naivePass !== undefined) passes.push({ real: pass, naive: naivePass })
    } else if (action.do === 'settle') {
      // The same pass may come up again: then it is settled a second time.
      const pass = passes[passes.length - 1 - (action.which % Math.max(1, passes.length))]
      pass?.real.settle(action.verdict, now)
      if (pass !== undefined) naive.settle(pass.naive, action.verdict, now)
    } else if (action.do === 'update') {
      real.update(action.settings)
      naive.update(action.settings, now)
    } else {
      real[action.to]()
      naive.force(action.to, now)
    }
    naive.passTime(clock.now())
    check(real, naive, clock.now())
  }
  return { clock, real, naive, passes }
}

test('does what a naive circuit does, whatever comes', () => {
  fc.assert(
    fc.property(options, actions, (options, actions) => {
      play(options, actions, (real, naive, now) => {
        expect(countsOf(real)).toEqual(naive.counts(now))
        expect(real.state).toBe(naive.state)
      })
    }),
    { numRuns: 300 },
  )
})

test('does so too while its settings and the shape of its window are changed', () => {
  fc.assert(
    fc.property(options, changing, (options, actions) => {
      // Looking at the counts writes them down: here nobody does so before the end.
      const { clock, real, naive } = play(options, actions, (real, naive) => {
        expect(real.state).toBe(naive.state)
      })
      naive.passTime(clock.now())
      expect(countsOf(real)).toEqual(naive.counts(clock.now()))
    }),
    { numRuns: 300 },
  )
})

test('tells of every change of state once, and takes no other way than the legal ones', () => {
  const legal = new Set(['closed > open', 'open > half-open', 'half-open > open', 'half-open > closed'])
  fc.assert(
    fc.property(options, actions, (options, actions) => {
      const edges: string[] = []
      const off = circuitChanged.on((change: CircuitChange) => {
        edges.push(`${change.from} > ${change.to}`)
        if (change.cause !== 'manual') expect(legal).toContain(`${change.from} > ${change.to}`)
      })
      try {
        const { naive } = play(options, actions, real => real.state)
        expect(edges).toEqual(naive.edges)
      } finally {
        off()
      }
    }),
  )
})

test('a call that settles twice, or comes back after the state has changed, changes nothing', () => {
  fc.assert(
    fc.property(options, actions, fc.constantFrom(...verdicts), (options, actions, verdict) => {
      const { clock, real, passes } = play(options, actions, () => {})
      for (const pass of passes) pass.real.settle('neutral', clock.now())
      const before = real.snapshot()
      for (const pass of passes) pass.real.settle(verdict, clock.now())
      expect(real.snapshot()).toEqual(before)

      // And calls that were let in earlier, of which none has settled.
      const stale = Array.from({ length: 3 }, () => real.admit(clock.now()))
      real.forceOpen()
      real.auto()
      const changed = real.snapshot()
      for (const pass of stale) if (!isRejection(pass)) pass.settle(verdict, clock.now())
      expect(real.snapshot()).toEqual(changed)
    }),
  )
})

test('a call that says nothing changes no count', () => {
  fc.assert(
    fc.property(options, actions, (options, actions) => {
      const { clock, real } = play(options, actions, () => {})
      const before = countsOf(real)
      const pass = real.admit(clock.now())
      if (!isRejection(pass)) pass.settle('neutral', clock.now())
      expect(countsOf(real)).toEqual(before)
    }),
  )
})

test('closes again once every call succeeds, though probes of before never settle', () => {
  fc.assert(
    fc.property(options, actions, (options, actions) => {
      const { clock, real } = play(options, actions, () => {})
      real.auto()
      const { maxOpenMs, openMs, probeTimeoutMs, successesToClose } = { ...circuitDefaults, ...options }
      // A lost probe opens the circuit anew at the end of its lease; after that nothing that is out can.
      clock.jump(probeTimeoutMs)
      void real.state
      clock.jump(Math.max(maxOpenMs, openMs))
      for (let calls = 0; calls < successesToClose && real.state !== 'closed'; calls++) {
        const pass = real.admit(clock.now())
        expect(isRejection(pass)).toBe(false)
        ;(pass as Pass).settle('success', clock.now())
      }
      expect(real.state).toBe('closed')
    }),
  )
})

test('within a bucket the order in which calls settle makes no difference', () => {
  const results = fc.array(fc.constantFrom(...verdicts), { minLength: 1, maxLength: 30 })
  const shuffled = results.chain(list =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  )
  fc.assert(
    fc.property(shuffled, ([first, second]) => {
      const counts = [first, second].map(verdicts => {
        const real = circuit({ clock: manualClock() })
        real.disable()
        for (const verdict of verdicts) (real.admit(1_000_000) as Pass).settle(verdict, 1_000_000)
        return countsOf(real)
      })
      expect(counts[0]).toEqual(counts[1])
    }),
  )
})

test('calls and controls from within the event leave it in order', () => {
  const inner = fc.array(fc.oneof(call, settle, force), { maxLength: 20, size: 'max' })
  fc.assert(
    fc.property(options, actions, inner, (options, actions, inner) => {
      const clock = manualClock()
      const real = circuit({ ...options, name: 'reentered', clock, random: () => 0.5 })
      const probes = options.probes ?? 1
      const passes: Pass[] = []
      const rest = [...inner]
      let hand: CircuitState | undefined
      const act = (action: Action): void => {
        if (action.do === 'wait') clock.jump(action.ms)
        else if (action.do === 'call') {
          const pass = real.admit(clock.now())
          if (!isRejection(pass)) passes.push(pass)
        } else if (action.do === 'settle') {
          passes[passes.length - 1 - action.which]?.settle(action.verdict, clock.now())
        } else if (action.do === 'force') {
          hand = ({ forceOpen: 'forced-open', forceClosed: 'forced-closed', disable: 'disabled' } as const)[
            action.to as 'forceOpen'
          ]
          real[action.to]()
        }
      }
      const off = circuitChanged.on(change => {
        expect(change.from).not.toBe(change.to)
        const action = rest.pop()
        if (action !== undefined && change.circuit === 'reentered') act(action)
      })
      try {
        for (const action of actions) {
          act(action)
          const { state, probes: out, total, failures, slow } = real.snapshot()
          if (hand !== undefined) expect(state).toBe(hand)
          else expect(['closed', 'open', 'half-open']).toContain(state)
          expect(out.inFlight).toBeLessThanOrEqual(state === 'half-open' ? probes : 0)
          for (const part of [failures, slow]) expect(part).toBeLessThanOrEqual(total)
          for (const count of [total, failures, slow]) expect(count).toBeGreaterThanOrEqual(0)
        }
      } finally {
        off()
      }
    }),
  )
})

test('restored from its snapshot, at another time, it goes on as the original does', () => {
  fc.assert(
    fc.property(options, actions, actions, fc.nat({ max: 10_000_000 }), (options, before, after, gap) => {
      const { clock, real, passes } = play(options, before, () => {})
      // Calls that are out do not survive a restart.
      for (const pass of passes) pass.real.settle('neutral', clock.now())
      const clock2 = manualClock({ startMs: clock.now() + gap })
      const copy = circuit({ ...options, clock: clock2, random: () => 0.5 })
      copy.restore(JSON.parse(JSON.stringify(real.snapshot())))
      const both = [
        { circuit: real, clock, passes: [] as Pass[] },
        { circuit: copy, clock: clock2, passes: [] as Pass[] },
      ]
      for (const action of after) {
        for (const { circuit, clock, passes } of both) {
          if (action.do === 'wait') clock.jump(action.ms)
          else if (action.do === 'call') {
            const pass = circuit.admit(clock.now())
            if (!isRejection(pass)) passes.push(pass)
          } else if (action.do === 'settle') {
            passes[passes.length - 1 - action.which]?.settle(action.verdict, clock.now())
          } else if (action.do === 'force') circuit[action.to]()
        }
        expect(countsOf(copy)).toEqual(countsOf(real))
      }
    }),
  )
})
