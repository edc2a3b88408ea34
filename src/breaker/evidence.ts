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
 * The three windows have buckets of one size and turn together, so that one epoch names a bucket in each.
 */
export class Evidence {
  /** When a call was last let through. */
  lastPassAt: number
  private readonly whole: RollingWindow
  private readonly recent: RollingWindow
  private readonly young: RollingWindow

  constructor(shape: EvidenceShape) {
    this.lastPassAt = -Infinity
    this.whole = new RollingWindow(shape.bucketMs, shape.buckets, 4)
    this.recent = new RollingWindow(shape.bucketMs, shape.recentBuckets, 3)
    this.young = new RollingWindow(shape.bucketMs, shape.youngBuckets, 1)
  }

  advance(now: number): void {
    if (now < this.whole.bucketEnd) return
    this.whole.advance(now)
    this.recent.advance(now)
    this.young.advance(now)
  }

  /** The share of calls to reject: what either the whole window or the recent past asks for; 0 or less for none. */
  excess(k: number, rejectWeight: number, minRequests: number): number {
    const long = excessOf(this.whole, this.overdue, k, rejectWeight, minRequests)
    const short = excessOf(this.recent, 0, k, rejectWeight, minRequests)
    return long > short ? long : short
  }

  /** Notes that a call goes out; returns what `answered` wants back. */
  sent(now: number): number {
    this.lastPassAt = now
    this.whole.add(UNANSWERED, 1)
    this.young.add(0, 1)
    return this.whole.epoch
  }

  rejected(): void {
    this.whole.add(REJECTED, 1)
    this.recent.add(REJECTED, 1)
  }

  accepted(epoch: number): void {
    this.returned(epoch)
    this.whole.add(ACCEPTED, 1)
    this.recent.add(ACCEPTED, 1)
  }

  failed(epoch: number): void {
    this.returned(epoch)
    this.whole.add(FAILED, 1)
    this.recent.add(FAILED, 1)
  }

  /** The call is over, whatever came of it. */
  returned(epoch: number): void {
    this.whole.addAt(epoch, UNANSWERED, -1)
    this.young.addAt(epoch, 0, -1)
  }

  counts(): EvidenceCounts {
    const { sums } = this.whole
    return {
      accepted: sums[ACCEPTED]!,
      failed: sums[FAILED]!,
      rejected: sums[REJECTED]!,
      overdue: this.overdue,
    }
  }

  /** Calls in flight that are no longer young. */
  private get overdue(): number {
    return this.whole.sums[UNANSWERED]! - this.young.sums[0]!
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

function excessOf(
  { sums }: RollingWindow,
  overdue: number,
  k: number,
  rejectWeight: number,
  minRequests: number,
): number {
  const accepted = sums[ACCEPTED]!
  const requests = accepted + sums[FAILED]! + overdue + rejectWeight * sums[REJECTED]!
  return requests < minRequests ? 0 : (requests - k * accepted) / (requests + 1)
}
