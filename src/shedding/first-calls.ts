/**
 * What the first few calls of a route tell of the time that one takes undisturbed.
 *
 * They are early, but not always undisturbed: in front of a small pool, those that all come at once after a restart
 * queue from the second on. The times of a queue grow with the number in flight,
 *
 *   t    what a call took
 *   n    how many were in flight once it had begun, itself among them
 *
 *   t = a + b · n     by least squares, where t and n are correlated by more than 0.85
 *
 * and undisturbed is a + b: what one call alone would have taken, though never less than the quickest did. Where they
 * are not correlated it is the mean: calls may differ as they like as long as it is not by how many there are.
 */

/** Ten calls that have nothing to do with each other are correlated so well once in a thousand times. */
const IN_STEP = 0.85
/** Less than this part of a square is not a difference, but what fractions lose when they are added up. */
const ROUNDING = 1e-9

export class FirstCalls {
  calls: number
  private leastMs: number
  private sumMs: number
  private sumInFlight: number
  private squaresMs: number
  private squaresInFlight: number
  private products: number

  constructor() {
    this.calls = 0
    this.leastMs = Infinity
    this.sumMs = 0
    this.sumInFlight = 0
    this.squaresMs = 0
    this.squaresInFlight = 0
    this.products = 0
  }

  add(ms: number, inFlight: number): void {
    this.calls++
    this.leastMs = Math.min(this.leastMs, ms)
    this.sumMs += ms
    this.sumInFlight += inFlight
    this.squaresMs += ms * ms
    this.squaresInFlight += inFlight * inFlight
    this.products += ms * inFlight
  }

  /** Whether they have queued. */
  get queued(): boolean {
    const varianceMs = this.squaresMs / this.calls - this.meanMs ** 2
    if (varianceMs <= ROUNDING * this.meanMs ** 2) return false
    if (this.variance <= ROUNDING * this.meanInFlight ** 2) return false
    return this.covariance > IN_STEP * Math.sqrt(varianceMs * this.variance)
  }

  get baseMs(): number {
    if (!this.queued) return this.meanMs
    const growth = this.covariance / this.variance
    return Math.max(this.leastMs, this.meanMs - growth * (this.meanInFlight - 1))
  }

  private get meanMs(): number {
    return this.sumMs / this.calls
  }

  private get meanInFlight(): number {
    return this.sumInFlight / this.calls
  }

  /** Of the number in flight. */
  private get variance(): number {
    return this.squaresInFlight / this.calls - this.meanInFlight ** 2
  }

  private get covariance(): number {
    return this.products / this.calls - this.meanMs * this.meanInFlight
  }
}
