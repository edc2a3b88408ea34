/**
 * Counts what was granted in the last W in N buckets of length b = W / N, plus the one bucket that W covers partly.
 *
 *   k           the bucket of now;  e = how far now is into it
 *   n_i         granted in bucket i
 *   used      = n_(k-N+1) + ... + n_k + share n_(k-N)
 *   share       oldest 'whole': 1;  oldest 'weighted': 1 - e / b, as if it had been spent evenly
 *
 *   grant cost c   iff   used + c <= L
 *
 * Bounds. `whole`: no more than L in every interval of length W; in return up to one bucket's length is waited
 * for longer than need be. `weighted`: no more than L plus what was granted in the one bucket that is weighted, so
 * less than 2 L in the worst case and about L (1 + 1 / N) in even traffic.
 *
 * With `buckets: 1, oldest: 'weighted'` this is the form with two windows that large edge networks use, which needs
 * two counts a key and forgets after up to 2 W.
 */
import { choiceOption, knownOptions, numberOption } from '../core/options.ts'
import type { Limiter } from './limiter.ts'
import { copyRow, type Rule } from './rule.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'
import { MAX_UNITS, TimeScale, unitsFor } from './time-scale.ts'

export interface SlidingWindowOptions extends KeyedOptions {
  /** How much in every interval of `windowMs`. 0 denies everything. */
  readonly limit: number
  readonly windowMs: number
  /** How many buckets the window is divided into; a key takes 8 bytes for each. Fixed for life. @default 10 */
  readonly buckets?: number
  /** How the bucket that is half out of the window counts. @default 'whole' */
  readonly oldest?: 'whole' | 'weighted'
}

const own = ['limit', 'windowMs', 'oldest']

/** Up to `limit` in any `windowMs`, however the calls lie. */
export function slidingWindow(options: SlidingWindowOptions): Limiter<SlidingWindowOptions, LimiterSnapshot> {
  knownOptions('slidingWindow', options, [...own, 'buckets', ...commonOptions])
  return new SlotLimiter(
    'sliding-window',
    options,
    own,
    ({ limit, windowMs, buckets = 10, oldest = 'whole' }) => {
      numberOption('limit', limit, { min: 0, max: 1e12, integer: true })
      numberOption('windowMs', windowMs, { min: 1e-3, max: 1e13 })
      numberOption('buckets', buckets, { min: 1, max: 1000, integer: true })
      const weighted = choiceOption('oldest', oldest, ['whole', 'weighted']) === 'weighted'
      // Counts are multiplied by the bucket's length, and a debt may be one limit more.
      const bucket = unitsFor(
        windowMs / buckets,
        ({ units }) => 2 * units * Math.max(limit, buckets) <= MAX_UNITS,
      )
      if (bucket === undefined) {
        throw new RangeError(
          `Expected \`limit\` times \`windowMs\` to stay below 1e15, got ${limit} in ${windowMs} ms`,
        )
      }
      return {
        rule: new SlidingWindowRule(limit, bucket.units, buckets, weighted),
        scale: new TimeScale(bucket.perMs),
        windowMs,
      }
    },
  )
}

/** Cells: when all is forgotten, the index of the newest bucket, then N + 1 counts in a ring. */
class SlidingWindowRule implements Rule {
  readonly limit: number
  readonly width: number
  private readonly bucket: number
  private readonly buckets: number
  private readonly weighted: boolean

  constructor(limit: number, bucket: number, buckets: number, weighted: boolean) {
    this.limit = limit
    this.width = buckets + 3
    this.bucket = bucket
    this.buckets = buckets
    this.weighted = weighted
  }

  wait(cells: Float64Array, at: number, cost: number, now: number): number {
    if (this.used(cells, at, now) + cost * this.bucket <= this.limit * this.bucket) return 0
    const { bucket, buckets } = this
    const oldest = Math.floor(now / bucket) - buckets
    const newest = cells[at + 1]!
    let later = this.sum(cells, at, oldest, newest)
    // From the oldest on, until what is left of one bucket, and all of the later ones, leave enough room.
    for (let i = Math.max(oldest, newest - buckets); ; i++) {
      const count = cells[this.slot(at, i)]!
      later -= count
      const spare = this.limit - cost - later
      if (spare < 0 || count === 0) continue
      const into = this.weighted
        ? Math.max(0, bucket - Math.floor((spare * bucket) / count))
        : spare < count
          ? bucket
          : 0
      const then = (i + buckets) * bucket + into
      return then - now
    }
  }

  room(cells: Float64Array, at: number, now: number): number {
    const left = Math.floor((this.limit * this.bucket - this.used(cells, at, now)) / this.bucket)
    return left > 0 ? left : 0
  }

  add(cells: Float64Array, at: number, cost: number, now: number): number {
    const { bucket, buckets } = this
    const index = Math.floor(now / bucket)
    if (cells[at]! <= now) {
      for (let i = 0; i <= buckets; i++) cells[at + 2 + i] = 0
    } else {
      for (let i = Math.max(cells[at + 1]!, index - buckets - 1) + 1; i <= index; i++)
        cells[this.slot(at, i)] = 0
    }
    cells[at + 1] = index
    const most = 2 * this.limit - this.sum(cells, at, index - buckets, index)
    cells[this.slot(at, index)]! += cost < most ? cost : Math.max(0, most)
    cells[at] = (index + buckets + 1) * bucket
    return this.room(cells, at, now)
  }

  /** A bucket that is out of the window took its counts with it. */
  give(cells: Float64Array, at: number, cost: number, now: number, takenAt: number): void {
    const { bucket, buckets } = this
    const index = Math.floor(takenAt / bucket)
    const newest = cells[at + 1]!
    if (index < Math.floor(now / bucket) - buckets || index <= newest - buckets - 1 || index > newest) return
    const slot = this.slot(at, index)
    cells[slot] = Math.max(0, cells[slot]! - cost)
    let last = newest
    while (last >= newest - buckets && cells[this.slot(at, last)] === 0) last--
    cells[at] = last < newest - buckets ? 0 : (last + buckets + 1) * bucket
  }

  copy(cells: Float64Array, from: number, to: number): void {
    copyRow(cells, from, to, this.width)
  }

  /** Where the buckets are no longer the same, what was in the window counts as granted now. */
  adopt(cells: Float64Array, at: number, now: number, old: SlidingWindowRule, then: number): void {
    const { bucket, buckets } = this
    if (bucket === old.bucket && now === then) return
    const index = Math.floor(then / old.bucket)
    const count = old.sum(cells, at, index - buckets, cells[at + 1]!)
    cells[at] = 0
    if (count > 0) this.add(cells, at, count, now)
  }

  /** What counts at `now`, times the length of a bucket. */
  private used(cells: Float64Array, at: number, now: number): number {
    if (cells[at]! <= now) return 0
    const { bucket, buckets } = this
    const index = Math.floor(now / bucket)
    const oldest = index - buckets
    const newest = cells[at + 1]!
    const used = this.sum(cells, at, oldest, newest) * bucket
    if (!this.weighted || oldest < newest - buckets || oldest > newest) return used
    return used - cells[this.slot(at, oldest)]! * (now - index * bucket)
  }

  /** What is in the buckets from `oldest` to `newest`, the newest that the row knows. */
  private sum(cells: Float64Array, at: number, oldest: number, newest: number): number {
    const from = Math.max(oldest, newest - this.buckets)
    const end = at + 3 + this.buckets
    let sum = 0
    let slot = this.slot(at, from)
    for (let left = newest - from; left >= 0; left--) {
      sum += cells[slot]!
      if (++slot === end) slot = at + 2
    }
    return sum
  }

  private slot(at: number, index: number): number {
    // The buckets before the first one have negative indexes.
    const ring = this.buckets + 1
    return at + 2 + (index - Math.floor(index / ring) * ring)
  }
}
