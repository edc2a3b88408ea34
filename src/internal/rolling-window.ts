/**
 * Counts of several kinds of events over the last while.
 *
 *   epoch(now) = floor((now - origin) / bucketMs)
 *   sums[k]    = sum over the buckets of the last `buckets` epochs of their count of kind k
 *
 * Time is cut into buckets that are kept in a ring. The sums are kept up to date as events are added and as
 * buckets fall out of the ring, so that reading them is one load and no event costs more than a few additions,
 * however many are in the window. Nothing moves by itself: whoever reads or adds calls `advance` first.
 *
 * The newest bucket is still being filled, so the window covers more than `windowMs - bucketMs` and at most
 * `windowMs`: never an event older than that.
 */
export class RollingWindow {
  readonly bucketMs: number
  readonly buckets: number
  /** How many kinds of events are counted. */
  readonly kinds: number
  /** The count of each kind over the window, as of the last `advance`. */
  readonly sums: Float64Array
  /** The bucket being filled, counted from the start of time. */
  epoch: number
  /** When the bucket being filled is full. */
  bucketEnd: number
  private readonly counts: Int32Array
  private origin: number
  private slot: number

  constructor(bucketMs: number, buckets: number, kinds: number) {
    this.bucketMs = bucketMs
    this.buckets = buckets
    this.kinds = kinds
    this.sums = new Float64Array(kinds)
    this.epoch = 0
    this.bucketEnd = bucketMs
    this.counts = new Int32Array(buckets * kinds)
    this.origin = 0
    this.slot = 0
  }

  /** Drops what has become too old. A clock that goes backwards moves nothing. */
  advance(now: number): void {
    if (now >= this.bucketEnd) this.turn(now)
  }

  /** Counts events of one kind in the present bucket. */
  add(kind: number, amount: number): void {
    const cell = this.slot * this.kinds + kind
    this.counts[cell] = this.counts[cell]! + amount
    this.sums[kind] = this.sums[kind]! + amount
  }

  /** Corrects the count of an earlier bucket; does nothing when that one has left the window. */
  addAt(epoch: number, kind: number, amount: number): void {
    const age = this.epoch - epoch
    if (age >= this.buckets) return
    const slot = this.slot >= age ? this.slot - age : this.slot - age + this.buckets
    const cell = slot * this.kinds + kind
    this.counts[cell] = this.counts[cell]! + amount
    this.sums[kind] = this.sums[kind]! + amount
  }

  clear(): void {
    this.counts.fill(0)
    this.sums.fill(0)
  }

  /** The counts as plain data, without any point in time in it: a monotonic clock means nothing elsewhere. */
  save(now: number): SavedWindow {
    this.advance(now)
    const counts: number[][] = []
    for (let age = 0; age < this.buckets; age++) {
      const start = ((this.slot - age + this.buckets) % this.buckets) * this.kinds
      counts.push([...this.counts.subarray(start, start + this.kinds)])
    }
    while (counts.length > 0 && counts[counts.length - 1]!.every(count => count === 0)) counts.pop()
    return { bucketMs: this.bucketMs, sinceBucketStartMs: now - this.bucketEnd + this.bucketMs, counts }
  }

  /** Takes over what `save` gave, as if the saved window had gone on until `now`. */
  load(saved: SavedWindow, now: number): void {
    this.clear()
    this.origin = now - saved.sinceBucketStartMs
    this.epoch = 0
    this.bucketEnd = this.origin + this.bucketMs
    // Where the bucket size has changed meanwhile, counts are taken for older than they are, never for newer.
    const scale = saved.bucketMs / this.bucketMs
    for (const [age, kinds] of saved.counts.entries()) {
      for (const [kind, count] of kinds.entries()) this.addAt(-Math.ceil(age * scale), kind, count)
    }
    this.advance(now)
  }

  private turn(now: number): void {
    const epoch = Math.floor((now - this.origin) / this.bucketMs)
    const steps = epoch - this.epoch
    if (steps >= this.buckets) this.clear()
    else {
      for (let step = 0; step < steps; step++) {
        this.slot = this.slot + 1 === this.buckets ? 0 : this.slot + 1
        this.drop(this.slot * this.kinds)
      }
    }
    this.epoch = epoch
    this.bucketEnd = this.origin + (epoch + 1) * this.bucketMs
  }

  private drop(start: number): void {
    for (let kind = 0; kind < this.kinds; kind++) {
      this.sums[kind] = this.sums[kind]! - this.counts[start + kind]!
      this.counts[start + kind] = 0
    }
  }
}

/** A window outside of time: the counts of its buckets, the newest first. */
export interface SavedWindow {
  readonly bucketMs: number
  /** How long the newest bucket had been filling. */
  readonly sinceBucketStartMs: number
  readonly counts: readonly (readonly number[])[]
}
