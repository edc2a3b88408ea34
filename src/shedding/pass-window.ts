/**
 * How many calls came through, and how long they took, over the last while.
 *
 *   maxPass   the most calls of a bucket
 *   minMs     the least mean time of a bucket
 *
 * Of complete buckets only: the one that is being filled says nothing yet. Both are worked out once a bucket.
 */
export class PassWindow {
  readonly bucketMs: number
  private readonly counts: Int32Array
  private readonly sums: Float64Array
  private epoch: number
  private most: number
  private least: number
  /** For which bucket `most` and `least` were worked out. */
  private knownAt: number

  constructor(windowMs: number, buckets: number) {
    this.bucketMs = windowMs / buckets
    this.counts = new Int32Array(buckets)
    this.sums = new Float64Array(buckets)
    this.epoch = Number.NaN
    this.most = 0
    this.least = Infinity
    this.knownAt = Number.NaN
  }

  add(ms: number, now: number): void {
    this.advance(now)
    const slot = this.epoch % this.counts.length
    this.counts[slot]!++
    this.sums[slot]! += ms
  }

  /** 0 while no bucket is complete. */
  maxPass(now: number): number {
    this.workOut(now)
    return this.most
  }

  /** `Infinity` while no bucket is complete. */
  minMs(now: number): number {
    this.workOut(now)
    return this.least
  }

  /** Which bucket is being filled; it changes when there is something new to know. */
  bucketAt(now: number): number {
    this.advance(now)
    return this.epoch
  }

  reset(): void {
    this.counts.fill(0)
    this.sums.fill(0)
    this.epoch = Number.NaN
    this.knownAt = Number.NaN
  }

  /** Empties the buckets whose time has come round again. A clock that goes backwards moves nothing. */
  private advance(now: number): void {
    const epoch = Math.floor(now / this.bucketMs)
    if (epoch <= this.epoch) return
    const { counts, sums } = this
    const steps = Number.isNaN(this.epoch) ? 0 : Math.min(counts.length, epoch - this.epoch)
    for (let i = 0; i < steps; i++) {
      const slot = (epoch - i) % counts.length
      counts[slot] = 0
      sums[slot] = 0
    }
    this.epoch = epoch
  }

  private workOut(now: number): void {
    this.advance(now)
    if (this.knownAt === this.epoch) return
    this.knownAt = this.epoch
    const present = this.epoch % this.counts.length
    this.most = 0
    this.least = Infinity
    for (const [slot, count] of this.counts.entries()) {
      if (count === 0 || slot === present) continue
      if (count > this.most) this.most = count
      this.least = Math.min(this.least, this.sums[slot]! / count)
    }
  }
}
