/**
 * How much waiting work begins in each millisecond while work waits: nearly 1 where the loop is the bottleneck,
 * and whatever comes through where something else is.
 *
 *   r ← r + min(1, Δ / min(τ, t))·(started / Δ - r)      t = since the queue formed
 *
 * So the first measurement of a busy time replaces what was known before, and later ones are averaged.
 *
 *   σ² = Σ(started - r·Δ)² / t²     over the same measurements: what single stalls may have done to r
 *
 * When a queue that is cut short has run dry since, more could have begun than there was: what began is the least
 * that r can be. Then r grows, by so much in GROW, and never falls. Otherwise a queue that is kept as short as r
 * allows would confirm whatever r was: too short a queue, too little to begin, an r that is too small.
 */
const TAU_MS = 200
const LEAST = 0.001
/** Shorter measurements are put off: what begins in one batch is a lot for half a millisecond. */
const MIN_STEP_MS = 0.5
/** In a longer one the process was not there, or its clock has jumped. */
const MAX_STEP_MS = 1_000
/** How long it takes to grow by as much as there is, while there is never enough waiting. */
const GROW_MS = 20
/** For how much time, at most, what was known before counts when the queue has run dry. */
const BOUND_MS = 30
/** How many gaps between two calls it takes, the longer ones counting for more: what one long gap says is chance. */
const GAPS = 3

export class DrainRate {
  perMs: number
  private since: number
  private at: number
  private startedMs: number
  private count: number
  private ranDry: boolean
  /** Sums over the measurements that count, for each millisecond: of started², started·Δ and Δ². */
  private startedSquares: number
  private products: number
  private stepSquares: number
  /** When something was seen of any call, and the sum of the squares of the times between. */
  private seenAt: number
  private gapSquares: number

  constructor() {
    this.perMs = 1
    this.since = 0
    this.at = 0
    this.startedMs = 0
    this.count = 0
    this.ranDry = false
    this.startedSquares = 0
    this.products = 0
    this.stepSquares = 0
    this.seenAt = 0
    this.gapSquares = 0
  }

  /** How far off `perMs` may be. */
  get deviation(): number {
    const { perMs, startedSquares, products, stepSquares } = this
    const squares = startedSquares - 2 * perMs * products + perMs * perMs * stepSquares
    return Math.sqrt(Math.max(0, squares) / Math.min(2 * TAU_MS, Math.max(1, this.at - this.since)))
  }

  /** A queue forms, or whatever was measured of it so far has been spoilt. */
  restart(now: number): void {
    this.since = now
    this.at = now
    this.startedMs = 0
    this.count = 0
    this.ranDry = false
    this.startedSquares = 0
    this.products = 0
    this.stepSquares = 0
    this.seenAt = now
    this.gapSquares = 0
  }

  /** A call begins or ends. */
  seen(now: number): void {
    const gap = now - this.seenAt
    this.gapSquares += gap * gap
    this.seenAt = now
  }

  /** One more call could have begun, but there was none, because others have been refused. */
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
    const { startedMs } = this
    // Of an older queue nothing is known for sure.
    const before = this.at === this.since ? startedMs / step : this.perMs
    const least = Math.max(LEAST, this.ranDry ? Math.min(1, before * (1 + Math.min(0.5, step / GROW_MS))) : 0)
    this.perMs = Math.max(least, this.perMs + weight * (startedMs / step - this.perMs))
    this.startedSquares += weight * ((startedMs * startedMs) / step - this.startedSquares)
    this.products += weight * (startedMs - this.products)
    this.stepSquares += weight * (step - this.stepSquares)
    // A bound is no measurement: what is measured from now on soon counts for more.
    if (this.ranDry && now - this.since > BOUND_MS) {
      this.since = now - BOUND_MS
      this.gapSquares = 0
    }
    this.at = now
    this.startedMs = 0
    this.ranDry = false
  }

  /** Whether what is known goes back `ms` at least, to more than a few calls, and is not what one stall has left of it. */
  isKnown(ms: number, now: number): boolean {
    const lasted = now - this.since
    return this.count > 2 && lasted > ms && lasted * lasted > GAPS * this.gapSquares
  }

  reset(): void {
    this.perMs = 1
    this.restart(0)
  }
}
