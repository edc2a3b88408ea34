/**
 * The generic cell rate algorithm (ITU-T I.371), in its form for any cost.
 *
 *   T     emission interval: the time in which one unit of cost comes back
 *   B     capacity: the most that can be granted at one instant
 *   TAT   theoretical arrival time, the only state of a key: when its bucket will be full again
 *
 *   grant cost c at time t   iff   max(TAT, t) + c T - t <= B T;   then TAT = max(TAT, t) + c T
 *
 * Bound: in every closed interval of length d no more than B + d / T is granted.
 *
 * A token bucket of capacity B filled at rate 1 / T, and a leaky bucket of capacity B that leaks at rate 1 / T, take
 * the same decisions on every trace, so all three are this rule; they differ in the words of their options.
 */
import { knownOptions, numberOption } from '../core/options.ts'
import type { Limiter } from './limiter.ts'
import type { Rule } from './rule.ts'
import {
  commonOptions,
  type KeyedOptions,
  type LimiterSnapshot,
  type Plan,
  SlotLimiter,
} from './slot-limiter.ts'
import { MAX_UNITS, TimeScale, unitsFor } from './time-scale.ts'

export interface GcraOptions extends KeyedOptions {
  /** How much comes back in each period. */
  readonly limit: number
  readonly periodMs: number
  /** Capacity: the most that can be granted at one instant. 0 denies everything. @default limit */
  readonly burst?: number
}

const own = ['limit', 'periodMs', 'burst']

/** `limit` in each `periodMs`, evenly, with up to `burst` at one instant. */
export function gcra(options: GcraOptions): Limiter<GcraOptions, LimiterSnapshot> {
  knownOptions('gcra', options, [...own, ...commonOptions])
  return new SlotLimiter('gcra', options, own, ({ limit, periodMs, burst }) =>
    bucketPlan(
      numberOption('periodMs', periodMs, { min: 0, above: true }) /
        numberOption('limit', limit, { min: 1, max: 1e12, integer: true }),
      numberOption('burst', burst ?? limit, { min: 0, max: 1e12, integer: true }),
      0,
    ),
  )
}

/** The fastest that one more can come back. */
const MIN_INTERVAL_MS = 1e-4

/** A bucket of `capacity` in which one comes back every `intervalMs`, at any time or only every `stepMs`. */
export function bucketPlan(intervalMs: number, capacity: number, stepMs: number): Plan<GcraRule> {
  if (intervalMs < MIN_INTERVAL_MS) {
    throw new RangeError(`Expected a rate up to ${1000 / MIN_INTERVAL_MS} a second, got ${1000 / intervalMs}`)
  }
  const interval = unitsFor(intervalMs, ({ units, perMs }) => {
    return 2 * units * Math.max(capacity, 1) <= MAX_UNITS && Number.isInteger(round(stepMs * perMs))
  })
  if (interval === undefined) {
    throw new RangeError(
      `Expected a bucket that fills within some thousand years${stepMs > 0 ? ' and a `refillEveryMs` of whole milliseconds' : ''}, got one of ${capacity} with ${intervalMs} ms for each`,
    )
  }
  const { units, perMs } = interval
  return {
    rule: new GcraRule(units, capacity),
    scale: new TimeScale(perMs, { step: Math.max(1, round(stepMs * perMs)) }),
    windowMs: (capacity * units) / perMs,
  }
}

/** Takes away the rounding of one multiplication. */
function round(x: number): number {
  const nearest = Math.round(x)
  return Math.abs(x - nearest) <= nearest * 1e-12 ? nearest : x
}

export class GcraRule implements Rule {
  readonly limit: number
  readonly width: number
  private readonly interval: number
  /** B T */
  private readonly tolerance: number

  constructor(interval: number, capacity: number) {
    this.limit = capacity
    this.width = 1
    this.interval = interval
    this.tolerance = capacity * interval
  }

  wait(cells: Float64Array, at: number, cost: number, now: number): number {
    const tat = cells[at]!
    return (tat > now ? tat : now) + cost * this.interval - now - this.tolerance
  }

  /** When `cost` would have been granted, had somebody been waiting for it; may be long ago. */
  due(cells: Float64Array, at: number, cost: number): number {
    return cells[at]! + cost * this.interval - this.tolerance
  }

  room(cells: Float64Array, at: number, now: number): number {
    const tat = cells[at]!
    if (tat <= now) return this.limit
    const left = now + this.tolerance - tat
    return left > 0 ? Math.floor(left / this.interval) : 0
  }

  add(cells: Float64Array, at: number, cost: number, now: number): number {
    const { interval, tolerance } = this
    const tat = cells[at]!
    const next = (tat > now ? tat : now) + cost * interval
    const left = now + tolerance - next
    // With the debt of one limit at most.
    cells[at] = left > -tolerance ? next : now + 2 * tolerance
    return left > 0 ? Math.floor(left / interval) : 0
  }

  give(cells: Float64Array, at: number, cost: number, now: number): void {
    const tat = cells[at]!
    if (tat <= now) return
    cells[at] = Math.max(now, tat - cost * this.interval)
  }

  copy(cells: Float64Array, from: number, to: number): void {
    cells[to] = cells[from]!
  }

  /** What has been taken and has not come back yet stays taken. */
  adopt(cells: Float64Array, at: number, now: number, old: GcraRule, then: number): void {
    const taken = (cells[at]! - then) / old.interval
    cells[at] = taken > 0 ? now + Math.min(Math.ceil(taken * this.interval), 2 * this.tolerance) : 0
  }
}
