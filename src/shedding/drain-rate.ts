/**
 * How much waiting work begins in each millisecond while work waits: nearly 1 where the loop is the bottleneck,
 * and whatever comes through where something else is.
 *
 *   r ← r + min(1, Δ / min(τ, t))·(started / Δ - r)      t = since the queue formed
 *
 * So the first measurement of a busy time replaces what was known before, and later ones are averaged.
 *
 * When the queue has run dry since, more could have begun than there was: what began is the least that r can be.
 * Then r grows, by so much in GROW, and never falls. Otherwise a queue that is kept as short as r allows would
 * confirm whatever r was: too short a queue, too little to begin, an r that is too small.
 */
const TAU_MS = 200
const LEAST = 0.001
/** Shorter measurements are put off: what begins in one batch is a lot for half a millisecond. */
const MIN_STEP_MS = 0.5
/** In a longer one the process was not there, or its clock has jumped. */
const MAX_STEP_MS = 1_000
/** How long it takes to grow by as much as there is, while there is never enough waiting. */
const GROW_MS = 20

export class DrainRate {
  perMs: number
  private since: number
  private at: number
  private startedMs: number
  private count: number
  private ranDry: boolean
  /** The square of what a measurement is off by, in work, for each millisecond. */
  private squaresPerMs: number

  constructor() {
    this.perMs = 1
    this.since = 0
    this.at = 0
    this.startedMs = 0
    this.count = 0
    this.ranDry = false
    this.squaresPerMs = 0
  }

  /** How far off `perMs` may be. */
  get deviation(): number {
    return Math.sqrt(this.squaresPerMs / Math.min(2 * TAU_MS, Math.max(1, this.at - this.since)))
  }

  /** A queue forms, or whatever was measured of it so far has been spoilt. */
  restart(now: number): void {
    this.since = now
    this.at = now
    this.startedMs = 0
    this.count = 0
    this.ranDry = false
    this.squaresPerMs = 0
  }

  /** One more call could have begun, but there was none. */
  dry(): void {
    this.ranDry = true
  }

  /** A call that waited begins. */
  started(costMs: number): void {
    this.startedMs += costMs
    this.count++
  }

  measure(now: number): void {
    const step = now - this.at
    if (step < MIN_STEP_MS && step >= 0) return
    if (step < 0 || step > MAX_STEP_MS) {
      this.restart(now)
      return
    }
    const weight = Math.min(1, step / Math.min(TAU_MS, now - this.since))
    const least = this.ranDry ? Math.min(1, this.perMs * (1 + step / GROW_MS)) : LEAST
    const off = this.startedMs - this.perMs * step
    this.squaresPerMs += weight * ((off * off) / step - this.squaresPerMs)
    this.perMs = Math.max(least, this.perMs + (weight * off) / step)
    this.at = now
    this.startedMs = 0
    this.ranDry = false
  }

  /** Whether what is known goes back `ms` at least, and to more than a few calls. */
  isKnown(ms: number, now: number): boolean {
    return this.count > 2 && now - this.since > ms
  }

  reset(): void {
    this.perMs = 1
    this.restart(0)
  }
}
