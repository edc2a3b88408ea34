/**
 * What one process may grant of one key's limit: a token bucket whose rate and size are its share of the limit's.
 *
 *   level   tokens; a call may take it below zero, by no more than its own cost
 *   rank    importance, 0 first: the less a call matters, the fuller the bucket must be for it
 *
 *   p_k     the part of what is wanted here that is more important than rank k
 *   mark_k  0 if p_k is; otherwise burst (1 + 3 p_k) / 8, which is no more than half of it
 *
 *   grant cost c of rank k   iff   level >= mark_k + min(c, burst - mark_k)
 *
 * So when there is not enough for all, the bucket stands at the mark of the least important calls that still get
 * some, and the more important ones never notice. Where all calls matter the same, there is no mark.
 */
import { WHOLE } from './claims.ts'
import type { LeaseWait } from './lease.ts'
import type { CompiledLimit } from './limits.ts'

const RANKS = 4
/** Less of what is wanted than this is nothing. */
const TRACE = 0.001

export class Share {
  /** The members in Redis, and the block. */
  readonly keys: readonly string[]
  /** Millionths of the limit that this process may grant. */
  part: number
  /** The part ends here, on this process's clock. */
  until: number
  blockedUntil: number
  asking: boolean
  /** Calls that wait for the first part. */
  waiting: LeaseWait[]
  /** What the others said that they want. */
  others: readonly string[]
  usedAt: number
  /** Whether calls were granted without Redis since it was last heard of. */
  onSafe: boolean
  private level: number
  private at: number
  private readonly demand: Float64Array
  private readonly wanted: Float64Array
  /** By rank, in parts of the burst. */
  private readonly marks: Float64Array
  private since: number

  constructor(keys: readonly string[], now: number) {
    this.keys = keys
    this.part = 0
    this.until = Number.NEGATIVE_INFINITY
    this.blockedUntil = Number.NEGATIVE_INFINITY
    this.asking = false
    this.waiting = []
    this.others = []
    this.usedAt = now
    this.onSafe = false
    this.level = 0
    this.at = now
    this.demand = new Float64Array(RANKS)
    this.wanted = new Float64Array(RANKS)
    this.marks = new Float64Array(RANKS)
    this.since = now
  }

  /** Milliseconds until `cost` could be granted; 0 for now. */
  waitMs(cost: number, rank: number, limit: CompiledLimit, now: number): number {
    if (cost === 0) return Math.max(0, this.blockedUntil - now)
    this.settle(limit, now)
    const burst = (limit.capacity * this.part) / WHOLE
    const mark = burst * this.marks[rank]!
    const missing = mark + Math.min(cost, burst - mark) - this.level
    const wait = this.part === 0 ? Infinity : missing / ((limit.perMs * this.part) / WHOLE)
    return Math.max(0, wait, this.blockedUntil - now)
  }

  /** Counts what is wanted, granted or not. */
  note(cost: number, rank: number, now: number): void {
    this.demand[rank]! += cost
    this.usedAt = now
  }

  spend(cost: number): void {
    this.level -= cost
  }

  /** Tokens come or go by hand. */
  change(tokens: number, limit: CompiledLimit, now: number): void {
    this.settle(limit, now)
    const burst = (limit.capacity * this.part) / WHOLE
    this.level = Math.max(-limit.capacity, Math.min(burst, this.level + tokens))
  }

  /** Redis has answered. */
  adopt(part: number, tokens: number, until: number, limit: CompiledLimit, now: number): void {
    this.settle(limit, now)
    this.part = part
    this.until = until
    this.change((tokens / WHOLE) * limit.capacity, limit, now)
  }

  /** The part has ended, and its tokens with it. */
  end(limit: CompiledLimit, now: number): void {
    this.settle(limit, now)
    this.part = 0
    this.level = Math.min(0, this.level)
  }

  /** The largest cost that would be granted now, and how long until nothing is missing. */
  room(rank: number, limit: CompiledLimit, now: number): number {
    if (this.waitMs(1, rank, limit, now) > 0) return 0
    return Math.max(0, Math.floor(this.level - (limit.capacity * this.part * this.marks[rank]!) / WHOLE))
  }

  resetMs(limit: CompiledLimit, now: number): number {
    this.settle(limit, now)
    const burst = (limit.capacity * this.part) / WHOLE
    return this.part === 0 ? 0 : Math.max(0, (burst - this.level) / ((limit.perMs * this.part) / WHOLE))
  }

  /** What this process wants, by rank, in millionths of the limit: a little more than lately, to see growth. */
  wants(limit: CompiledLimit, now: number): number[] {
    const ms = Math.max(1, now - this.since)
    this.since = now
    const wants = Array.from(this.demand, (cost, rank) => {
      const latest = ((cost / ms) * 1.1 * WHOLE) / Math.max(limit.perMs, 1e-9)
      this.demand[rank] = 0
      this.wanted[rank] = Math.min(WHOLE, Math.max(latest, this.wanted[rank]! * 0.7))
      return Math.ceil(this.wanted[rank]!)
    })
    let above = 0
    const sum = this.wanted.reduce((a, b) => a + b, 0)
    for (const [rank, wanted] of this.wanted.entries()) {
      this.marks[rank] = above > TRACE * sum ? (1 + (3 * above) / sum) / 8 : 0
      above += wanted
    }
    return wants
  }

  private settle(limit: CompiledLimit, now: number): void {
    if (now <= this.at) return
    const grown = this.level + ((now - this.at) * limit.perMs * this.part) / WHOLE
    this.level = Math.min((limit.capacity * this.part) / WHOLE, grown)
    this.at = now
  }
}
