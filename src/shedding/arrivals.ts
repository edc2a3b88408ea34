import { Demand } from './demand.ts'
import { CLASSES } from './run-queue.ts'

const FAST_MS = 100
const FAST_SIGMAS = 3
const SLOW_MS = 1_000
const SLOW_SIGMAS = 2
/** How often arrivals are averaged when no batch runs, and at most how often when one does. */
const FOLD_MS = 50
const MIN_FOLD_MS = 2
/** After so long without any arrival there is nothing to average. */
const MAX_FOLD_MS = 10_000

/** What arrives of one class, and the means of it and of all that come before it. */
class Upwards {
  /** Of the class alone, since the means were last made. */
  work = 0
  squares = 0
  readonly fast: Demand = new Demand(FAST_MS)
  readonly slow: Demand = new Demand(SLOW_MS)
}

/** The work that arrives, class by class, whatever becomes of it. */
export class Arrivals {
  private readonly upwards: readonly Upwards[]
  private foldedAt: number

  constructor() {
    this.upwards = Array.from({ length: CLASSES }, () => new Upwards())
    this.foldedAt = Number.NaN
  }

  /** All that arrives, for each millisecond. */
  get workPerMs(): number {
    return this.upwards[CLASSES - 1]!.fast.workPerMs
  }

  get grainMs(): number {
    return this.upwards[CLASSES - 1]!.slow.grainMs
  }

  add(importance: number, costMs: number, now: number): void {
    this.foldAfter(FOLD_MS, now)
    const own = this.upwards[importance]!
    own.work += costMs
    own.squares += costMs * costMs
  }

  tend(now: number): void {
    this.foldAfter(MIN_FOLD_MS, now)
  }

  /** Whether more arrives of a class, and of those before it, than `rate`: now, and not only a while ago. */
  exceed(importance: number, rate: number, deviation: number = 0): boolean {
    const { fast, slow } = this.upwards[importance]!
    if (fast.workPerMs <= rate) return false
    return fast.exceeds(rate, FAST_SIGMAS, deviation) || slow.exceeds(rate, SLOW_SIGMAS, deviation)
  }

  /**
   * A queue has gone. Over a second an overload is remembered for longer than it takes to recover from it, and the
   * next burst would be taken for its return.
   */
  forget(rate: number): void {
    for (const { fast, slow } of this.upwards) {
      fast.forget(rate, FAST_SIGMAS)
      slow.forget(rate, SLOW_SIGMAS)
    }
  }

  reset(): void {
    this.foldedAt = Number.NaN
    for (const { fast, slow } of this.upwards) {
      fast.reset()
      slow.reset()
    }
  }

  private foldAfter(ms: number, now: number): void {
    const elapsed = now - this.foldedAt
    if (elapsed >= 0 && elapsed < ms) return
    this.foldedAt = now
    const counts = elapsed > 0 && elapsed < MAX_FOLD_MS
    const first = this.upwards[0]!
    const keptFast = counts ? first.fast.kept(elapsed) : 1
    const keptSlow = counts ? first.slow.kept(elapsed) : 1
    let work = 0
    let squares = 0
    for (const upwards of this.upwards) {
      work += upwards.work
      squares += upwards.squares
      if (counts) {
        upwards.fast.add(work, squares, elapsed, keptFast)
        upwards.slow.add(work, squares, elapsed, keptSlow)
      }
      upwards.work = 0
      upwards.squares = 0
    }
  }
}
