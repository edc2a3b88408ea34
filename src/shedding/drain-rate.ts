/**
 * How much waiting work begins in each millisecond while work waits: nearly 1 where the loop is the bottleneck,
 * and whatever comes through where something else is.
 *
 *   r ← r + min(1, Δ / min(τ, t))·(started / Δ - r)      t = since the queue formed
 *
 * So the first measurement of a busy time replaces what was known before, and later ones are averaged.
 */
const TAU_MS = 200
const LEAST = 0.001
/** Shorter measurements are put off: what begins in one batch is a lot for half a millisecond. */
const MIN_STEP_MS = 0.5

export class DrainRate {
  perMs: number
  private since: number
  private at: number
  private startedMs: number
  private count: number

  constructor() {
    this.perMs = 1
    this.since = 0
    this.at = 0
    this.startedMs = 0
    this.count = 0
  }

  /** A queue forms, or whatever was measured of it so far has been spoilt. */
  restart(now: number): void {
    this.since = now
    this.at = now
    this.startedMs = 0
    this.count = 0
  }

  /** A call that waited begins. */
  started(costMs: number): void {
    this.startedMs += costMs
    this.count++
  }

  measure(now: number): void {
    const step = now - this.at
    if (step < MIN_STEP_MS && step >= 0) return
    if (step < 0) {
      this.restart(now)
      return
    }
    const weight = Math.min(1, step / Math.min(TAU_MS, now - this.since))
    this.perMs = Math.max(LEAST, this.perMs + weight * (this.startedMs / step - this.perMs))
    this.at = now
    this.startedMs = 0
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
