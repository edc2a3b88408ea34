/**
 * How much of what there is has been in use lately, from 0 to 1, out of a number that only grows.
 *
 *   raw  = (used(t) - used(t0)) / (t - t0) / capacity      over a stretch of at least `everyMs`
 *   use += (1 - e^(-(t - t0) / tauMs)) · (raw - use)
 *
 * It is read when somebody asks and at no other time: a timer that samples is starved by the very overload that
 * it is there to report.
 */
export class Use {
  private readonly used: () => number
  private readonly capacity: number
  private readonly everyMs: number
  private readonly tauMs: number
  private usedAt: number
  private at: number
  private use: number

  constructor(used: () => number, capacity: number, everyMs: number, tauMs: number) {
    this.used = used
    this.capacity = capacity
    this.everyMs = everyMs
    this.tauMs = tauMs
    this.usedAt = 0
    this.at = Number.NaN
    this.use = 0
  }

  read(now: number): number {
    const elapsed = now - this.at
    if (elapsed < this.everyMs && elapsed >= 0) return this.use
    const used = this.used()
    if (elapsed >= this.everyMs) {
      const raw = Math.min(1, Math.max(0, (used - this.usedAt) / elapsed / this.capacity))
      this.use += (this.tauMs === 0 ? 1 : 1 - Math.exp(-elapsed / this.tauMs)) * (raw - this.use)
    }
    this.usedAt = used
    this.at = now
    return this.use
  }

  reset(): void {
    this.at = Number.NaN
    this.use = 0
  }
}
