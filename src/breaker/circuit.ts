/**
 * A circuit breaker (Nygard, "Release It!") with three states.
 *
 *   closed    -> open       n >= minimum and (f >= failureRatio * n or s >= slowRatio * n), or c >= consecutiveFailures
 *   open      -> half-open  after min(maxOpenMs, openMs * openFactor ^ r * (1 +- jitterRatio))
 *   half-open -> closed     after successesToClose probes that succeeded
 *   half-open -> open       after more than probeFailures that failed
 *
 * n calls in the window, f of them failed, s of them slow, c failures in a row at its end, r trials that have failed
 * since the circuit was last closed.
 *
 * Three rules keep the states honest. Every change of state starts a generation, and a call that was let in under
 * an earlier one changes nothing when it comes out: an old failure cannot open a circuit that is being tried,
 * nor an old success close it. A probe has a lease, after which its place is free again, though it never settles.
 * And in a half-open circuit nobody waits for the verdict: whoever is not a probe is refused at once, so that
 * nothing is released in a burst.
 */
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { register } from '../core/mechanism.ts'
import { knownOptions, nameOption } from '../core/options.ts'
import { Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { overlay } from '../internal/overlay.ts'
import type { Breaker, CallFacts, Pass, Verdict } from './breaker.ts'
import { plainCall } from './breaker.ts'
import { type CircuitCause, circuitChanged } from './circuit-event.ts'
import {
  type CircuitOptions,
  type CircuitSettings,
  checkCircuit,
  circuitDefaults,
  circuitSettingNames,
} from './circuit-options.ts'
import { CircuitPass } from './circuit-pass.ts'
import { type CircuitSnapshot, type CircuitState, checkSnapshot } from './circuit-state.ts'
import { Probes } from './probes.ts'
import { Tally } from './tally.ts'

/** A call that runs out of time says so a little after its deadline, and must not be taken for lost before it can. */
const LATE_MS = 50

/**
 * A circuit in front of one dependency. Without options it is the rule that Hystrix made known: from 20
 * calls up, 50 % errors within 10 s open it for 5 s. Another such rule is one line:
 * `circuit({ minimum: 100, failureRatio: 0.25 })`.
 */
export function circuit(options: CircuitOptions = {}): Circuit {
  knownOptions('circuit', options, [...circuitSettingNames, 'name', 'clock'])
  const { name, clock = systemClock } = options
  const made = new Circuit(name ?? 'circuit', clock, checkCircuit(overlay(circuitDefaults, options)))
  return name === undefined ? made : register(made)
}

export class Circuit implements Breaker<CircuitOptions, CircuitSnapshot> {
  readonly kind = 'circuit'
  readonly name: string
  private readonly clock: Clock
  private settings: CircuitSettings
  private readonly tally: Tally
  private phase: CircuitState
  private generation: number
  private openUntil: number
  private reopens: number
  private readonly probes: Probes<CircuitPass>
  private admitted: number
  private refused: number
  private opened: number
  private lastFailure: string | undefined

  /** @internal Use `circuit`. */
  constructor(name: string, clock: Clock, settings: CircuitSettings) {
    this.name = nameOption('name', name)
    this.clock = clock
    this.settings = settings
    this.tally = new Tally(settings)
    this.phase = 'closed'
    this.generation = 0
    this.openUntil = 0
    this.reopens = 0
    this.probes = new Probes()
    this.admitted = 0
    this.refused = 0
    this.opened = 0
    this.lastFailure = undefined
  }

  get state(): CircuitState {
    this.advance(this.clock.now())
    return this.phase
  }

  admit(now: number, call: CallFacts = plainCall): Pass | Rejection {
    if (this.phase !== 'closed') {
      this.advance(now)
      if (!this.admits()) return this.refuse(now)
      if (this.phase === 'half-open') return this.sendProbe(now, call)
    }
    this.admitted++
    return new CircuitPass(this, this.generation, now)
  }

  canAdmit(now: number): boolean {
    this.advance(now)
    return this.admits()
  }

  holding(now: number): boolean {
    this.advance(now)
    return this.phase !== 'closed' && this.phase !== 'half-open'
  }

  /** Refuses every call until `auto()`. */
  forceOpen(): void {
    this.control('forced-open')
  }

  /** Lets every call in until `auto()`, and goes on counting. */
  forceClosed(): void {
    this.control('forced-closed')
  }

  /** As if it were not there, until `auto()`: it counts, so that thresholds can be tried on live traffic, and refuses nothing. */
  disable(): void {
    this.control('disabled')
  }

  /** Lets go of the manual controls. A circuit that was forced open is tried with probes first. */
  auto(): void {
    const now = this.clock.now()
    if (this.phase === 'forced-open') this.enter('half-open', 'manual', now)
    else if (this.phase === 'forced-closed' || this.phase === 'disabled') this.close('manual', now)
  }

  /** Takes effect at once; a circuit that is open stays so until the time that was set when it opened. */
  update(options: Partial<CircuitOptions>): void {
    knownOptions('circuit.update', options, circuitSettingNames)
    const settings = checkCircuit(overlay(this.settings, options))
    const now = this.clock.now()
    // What has happened by now happened under the settings of before, though nobody has looked since.
    this.advance(now)
    this.settings = settings
    this.tally.reshape(settings, now)
    announceSettings(this, options)
  }

  snapshot(): CircuitSnapshot {
    const now = this.clock.now()
    this.advance(now)
    const { tally, probes } = this
    const window = tally.save(now)
    return {
      state: this.phase,
      total: tally.total,
      failures: tally.failures,
      slow: tally.slow,
      streak: tally.streak,
      openForMs: this.phase === 'open' ? this.openUntil - now : 0,
      reopens: this.reopens,
      probes: { inFlight: probes.inFlight, successes: probes.successes, failures: probes.failures },
      admitted: this.admitted,
      refused: this.refused,
      opened: this.opened,
      lastFailure: this.lastFailure,
      window,
    }
  }

  /** Goes on from where `snapshot` was taken, in this or another process. Probes that were out then have their places back. */
  restore(snapshot: CircuitSnapshot): void {
    checkSnapshot(snapshot)
    const now = this.clock.now()
    this.openUntil = now + snapshot.openForMs
    this.reopens = snapshot.reopens
    this.tally.load(snapshot.window, snapshot.streak, now)
    this.enter(snapshot.state, 'restored', now)
    this.probes.successes = snapshot.probes.successes
    this.probes.failures = snapshot.probes.failures
    this.lastFailure = snapshot.lastFailure
  }

  reset(): void {
    this.close('manual', this.clock.now())
    this.admitted = 0
    this.refused = 0
    this.opened = 0
    this.lastFailure = undefined
  }

  /** @internal */
  settle(pass: CircuitPass, verdict: Verdict, now: number, error: unknown): void {
    // First what time alone has changed: a lease that has run out is lost, though its call answers right now.
    if (this.phase !== 'closed') this.advance(now)
    if (pass.generation !== this.generation) return
    if (this.phase === 'half-open') this.settleProbe(pass, verdict, now, error)
    else if (verdict !== 'neutral') this.count(pass, verdict === 'failure', now, error)
  }

  private count(pass: CircuitPass, failed: boolean, now: number, error: unknown): void {
    if (failed) this.lastFailure = describe(error)
    this.tally.add(failed, now - pass.at > this.settings.slowMs, now)
    if (this.phase !== 'closed') return
    const cause = this.tally.judge(this.settings)
    if (cause !== undefined) this.open(cause, now)
  }

  private settleProbe(pass: CircuitPass, verdict: Verdict, now: number, error: unknown): void {
    if (!this.probes.return(pass) || verdict === 'neutral') return
    if (verdict === 'failure') this.lastFailure = describe(error)
    if (verdict === 'failure' || now - pass.at > this.settings.slowMs) {
      if (++this.probes.failures > this.settings.probeFailures) this.reopen('probe-failed', now)
    } else if (++this.probes.successes >= this.settings.successesToClose) this.close('probes-succeeded', now)
  }

  /** Works out what time alone has changed up to `now`, each change at its own time. */
  private advance(now: number): void {
    // After each change it looks again, because whoever is told of it may have taken the circuit in hand.
    for (;;) {
      if (this.phase === 'open' && now >= this.openUntil) this.enter('half-open', 'waited', this.openUntil)
      if (this.phase !== 'half-open') return
      const lost = this.probes.takeLost(now)
      if (lost === undefined) return
      if (this.settings.lostProbe === 'neutral') continue
      if (++this.probes.failures > this.settings.probeFailures) this.reopen('probe-lost', lost.leaseUntil)
    }
  }

  private admits(): boolean {
    if (this.phase === 'half-open') return this.probes.inFlight < this.settings.probes
    return this.phase !== 'open' && this.phase !== 'forced-open'
  }

  private sendProbe(now: number, call: CallFacts): Pass {
    const lease = Math.min(now + this.settings.probeTimeoutMs, call.deadline + LATE_MS)
    const probe = new CircuitPass(this, this.generation, now)
    this.probes.send(probe, lease)
    this.admitted++
    return probe
  }

  private refuse(now: number): Rejection {
    this.refused++
    return new Rejection({
      reason: 'breaker-open',
      policy: this.name,
      retry: this.settings.retry,
      retryAfterMs: this.phase === 'open' ? Math.ceil(this.openUntil - now) : undefined,
      detail: this.phase,
    })
  }

  private open(cause: CircuitCause, now: number): void {
    const { openMs, openFactor, maxOpenMs, jitterRatio, random } = this.settings
    const spread = 1 + jitterRatio * (2 * random() - 1)
    // Infinity times a spread of nothing would be no number at all.
    const longest = Math.min(openMs * openFactor ** this.reopens, 1e15)
    this.openUntil = now + Math.min(Math.max(openMs, maxOpenMs), longest * spread)
    this.opened++
    this.enter('open', cause, now)
  }

  private reopen(cause: CircuitCause, now: number): void {
    this.reopens++
    this.open(cause, now)
  }

  private close(cause: CircuitCause, now: number): void {
    this.tally.clear()
    this.reopens = 0
    this.enter('closed', cause, now)
  }

  private control(state: CircuitState): void {
    if (this.phase === state) return
    const now = this.clock.now()
    this.reopens = 0
    if (this.phase !== 'closed') this.tally.clear()
    this.enter(state, 'manual', now)
  }

  private enter(to: CircuitState, cause: CircuitCause, at: number): void {
    const from = this.phase
    this.phase = to
    this.generation++
    this.probes.clear()
    if (from === to || !circuitChanged.active) return
    const { total, failures, slow } = this.tally
    circuitChanged.emit({
      circuit: this.name,
      from,
      to,
      cause,
      at,
      total,
      failures,
      slow,
      openForMs: to === 'open' ? this.openUntil - at : 0,
    })
  }
}

/** The error itself is not kept: it may hold on to a whole request. */
function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : typeof error
  return text.slice(0, 120)
}
