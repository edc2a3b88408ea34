import { RollingWindow } from '../internal/rolling-window.ts'

const ACCEPTED = 0
const FAILED = 1
const REJECTED = 2
const UNANSWERED = 3

export interface EvidenceShape {
  readonly bucketMs: number
  readonly buckets: number
  readonly recentBuckets: number
  readonly youngBuckets: number
}

/**
 * What calls of one class have lately met with: over the whole window, and apart from that over the recent past.
 *
 * An answer counts at the time at which it comes, so that a slow dependency, whose answers lag behind its calls,
 * is not taken for a failing one. A call without an answer counts as sent once it is older than the young ones.
 * The three windows have buckets of one size and turn together, so that one epoch names a bucket in each. What
 * belongs into the bucket being filled is kept here, in plain counters, and goes into the windows when it is full.
 */
export class Evidence {
  /** When a call was last let through. */
  lastPassAt: number
  /** Nothing in the window but calls that were answered, or may yet be: there is nothing to reject. */
  calm: boolean
  private readonly whole: RollingWindow
  private readonly recent: RollingWindow
  private readonly young: RollingWindow
  private present: number
  private presentEnd: number
  private accepts: number
  private failures: number
  private rejections: number
  private unanswered: number

  constructor(shape: EvidenceShape) {
    this.lastPassAt = -Infinity
    this.calm = true
    this.whole = new RollingWindow(shape.bucketMs, shape.buckets, 4)
    this.recent = new RollingWindow(shape.bucketMs, shape.recentBuckets, 3)
    this.young = new RollingWindow(shape.bucketMs, shape.youngBuckets, 1)
    this.present = this.whole.epoch
    this.presentEnd = this.whole.bucketEnd
    this.accepts = 0
    this.failures = 0
    this.rejections = 0
    this.unanswered = 0
  }

  advance(now: number): void {
    if (now >= this.presentEnd) this.turn(now)
  }

  /** The share of calls to reject: what either the whole window or the recent past asks for; 0 or less for none. */
  excess(k: number, rejectWeight: number, minRequests: number): number {
    const long = this.excessOf(this.whole, this.overdue, k, rejectWeight, minRequests)
    const short = this.excessOf(this.recent, 0, k, rejectWeight, minRequests)
    return long > short ? long : short
  }

  /** Notes that a call goes out; returns what `answered` wants back. */
  sent(now: number): number {
    this.lastPassAt = now
    this.unanswered++
    return this.present
  }

  rejected(): void {
    this.calm = false
    this.rejections++
  }

  accepted(epoch: number): void {
    this.returned(epoch)
    this.accepts++
  }

  failed(epoch: number): void {
    this.returned(epoch)
    this.calm = false
    this.failures++
  }

  /** The call is over, whatever came of it. */
  returned(epoch: number): void {
    if (epoch === this.present) {
      this.unanswered--
      return
    }
    this.whole.addAt(epoch, UNANSWERED, -1)
    this.young.addAt(epoch, 0, -1)
  }

  counts(): EvidenceCounts {
    const { sums } = this.whole
    return {
      accepted: sums[ACCEPTED]! + this.accepts,
      failed: sums[FAILED]! + this.failures,
      rejected: sums[REJECTED]! + this.rejections,
      overdue: this.overdue,
    }
  }

  /** Calls in flight that are no longer young. */
  private get overdue(): number {
    return this.whole.sums[UNANSWERED]! - this.young.sums[0]!
  }

  private excessOf(
    { sums }: RollingWindow,
    overdue: number,
    k: number,
    rejectWeight: number,
    minRequests: number,
  ): number {
    const accepted = sums[ACCEPTED]! + this.accepts
    const failed = sums[FAILED]! + this.failures
    const requests = accepted + failed + overdue + rejectWeight * (sums[REJECTED]! + this.rejections)
    return requests < minRequests ? 0 : (requests - k * accepted) / (requests + 1)
  }

  private turn(now: number): void {
    const { whole, recent, young } = this
    for (const window of [whole, recent]) {
      window.add(ACCEPTED, this.accepts)
      window.add(FAILED, this.failures)
      window.add(REJECTED, this.rejections)
    }
    whole.add(UNANSWERED, this.unanswered)
    young.add(0, this.unanswered)
    this.accepts = 0
    this.failures = 0
    this.rejections = 0
    this.unanswered = 0
    whole.advance(now)
    recent.advance(now)
    young.advance(now)
    this.present = whole.epoch
    this.presentEnd = whole.bucketEnd
    // Until the next turn only a call that fails or is kept away can change that.
    this.calm = whole.sums[FAILED] === 0 && whole.sums[REJECTED] === 0 && this.overdue === 0
  }
}

/** What a window holds, for people to look at. */
export interface EvidenceCounts {
  readonly accepted: number
  readonly failed: number
  /** Kept away here. */
  readonly rejected: number
  /** Sent, and without an answer for longer than `unansweredMs`. */
  readonly overdue: number
}
