/**
 * How much work arrives for each millisecond, and how sure that is.
 *
 *   a    the mean over the last τ, older arrivals counting e^(-age/τ)
 *   σ    √(s / 2τ), s = the mean of the squares of the costs: the deviation of `a` if calls come independently
 *
 * After a pause of the process a lot arrives at once. That moves `a` by what it is over τ and no more, which the
 * length of a queue does not know to do; and a few expensive calls widen σ, so that they are not taken for a flood.
 */
export class Demand {
  workPerMs: number
  private squaresPerMs: number
  private readonly tauMs: number

  constructor(tauMs: number) {
    this.workPerMs = 0
    this.squaresPerMs = 0
    this.tauMs = tauMs
  }

  /** Counts calls whose costs, and whose squared costs, add up to this, as having come over the last `elapsedMs`. */
  add(work: number, squares: number, elapsedMs: number, keep: number = this.kept(elapsedMs)): void {
    this.workPerMs = this.workPerMs * keep + (work / elapsedMs) * (1 - keep)
    this.squaresPerMs = this.squaresPerMs * keep + (squares / elapsedMs) * (1 - keep)
  }

  /** Which part of what is known is kept after `elapsedMs`. */
  kept(elapsedMs: number): number {
    return Math.exp(-elapsedMs / this.tauMs)
  }

  /** Whether more than `rate` arrives, which may be off by `rateDeviation`, by so many standard deviations. */
  exceeds(rate: number, sigmas: number, rateDeviation: number = 0): boolean {
    return this.workPerMs > rate + sigmas * Math.hypot(this.deviation, rateDeviation)
  }

  /** Whatever came before has been dealt with: what comes from now on decides whether it exceeds `rate`. */
  forget(rate: number, sigmas: number): void {
    this.workPerMs = Math.min(this.workPerMs, rate + sigmas * this.deviation)
  }

  private get deviation(): number {
    return Math.sqrt(this.squaresPerMs / (2 * this.tauMs))
  }

  /** The mean cost of a millisecond of work: what an observer who comes at random finds in progress. */
  get grainMs(): number {
    return this.workPerMs === 0 ? 0 : this.squaresPerMs / this.workPerMs
  }

  reset(): void {
    this.workPerMs = 0
    this.squaresPerMs = 0
  }
}
