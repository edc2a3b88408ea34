/** What a limit's options come to: numbers for the script, and a share of it for this process alone. */
import type { Clock } from '../../core/clock.ts'
import { choiceOption, functionOption, knownOptions, numberOption } from '../../core/options.ts'
import { gcra } from '../gcra.ts'
import type { Limiter, LimitPolicy } from '../limiter.ts'
import { slidingWindow } from '../sliding-window.ts'
import { MAX_UNITS, unitsFor } from '../time-scale.ts'
import { type KeyedLimit, keyName } from './keys.ts'

interface LimitBase {
  /** Names the limit in decisions and in Redis; several limits need different ones. @default the limiter's name */
  readonly name?: string
  /** How much. 0 denies everything. */
  readonly limit: number
  /**
   * Whose limit it is, from the key of the call: `key => keyParts(key)[0]` for the tenant of a user. All keys that
   * meet in it must have the same `slotBy`.
   * @default the key of the call
   */
  readonly keyBy?: (key: string) => string
}

/** `limit` in each `periodMs`, evenly, with up to `burst` at one instant: see `gcra`. */
export interface BucketLimit extends LimitBase {
  readonly periodMs: number
  /** @default limit */
  readonly burst?: number
}

/** `limit` in any `windowMs`: see `slidingWindow`. */
export interface WindowLimit extends LimitBase {
  readonly windowMs: number
  /** How many buckets the window is divided into. @default 10 */
  readonly buckets?: number
  /** How the bucket that is half out of the window counts. @default 'whole' */
  readonly oldest?: 'whole' | 'weighted'
}

export type RedisLimit = BucketLimit | WindowLimit

/** A bucket in the script's numbers: one comes back every `emission / parts` microseconds. */
export interface Bucket {
  readonly emission: number
  readonly parts: number
}

export interface CompiledLimit extends KeyedLimit {
  /** The most that can be granted at one instant. */
  readonly capacity: number
  readonly windowMs: number
  readonly args: readonly string[]
  /** `undefined` for a window. */
  readonly bucket: Bucket | undefined
  /** How much comes back in a millisecond. */
  readonly perMs: number
  /** One of `nodes` equal shares, on this process's clock. */
  share(nodes: number, clock: Clock, maxKeys: number): Limiter
}

/** The fastest that one more can come back, as for `gcra`. */
const MIN_INTERVAL_MS = 1e-4

/** The limits of one limiter, checked. */
export function compileLimits(
  owner: string,
  limits: RedisLimit | readonly RedisLimit[],
): readonly CompiledLimit[] {
  const list: readonly RedisLimit[] = Array.isArray(limits) ? limits : [limits]
  if (list.length === 0 || list.length > 16 || list.some(limit => typeof limit !== 'object' || !limit)) {
    throw new TypeError('Expected `limits` to be one limit, or a list of 1 to 16 limits')
  }
  const names = new Set<string>()
  const compiled = list.map(limit => {
    const name = keyName('limits.name', limit.name ?? owner)
    if (names.has(name)) {
      throw new TypeError(
        `Expected several limits to have different names, got two called '${name}': a refusal could not say which of them it was`,
      )
    }
    names.add(name)
    if (limit.keyBy !== undefined) functionOption('limits.keyBy', limit.keyBy)
    return 'windowMs' in limit ? compileWindow(name, limit) : compileBucket(name, limit as BucketLimit)
  })
  return compiled
}

export function policiesOf(limits: readonly CompiledLimit[]): readonly LimitPolicy[] {
  return limits.map(({ name, capacity, windowMs }) => ({ name, quota: capacity, windowMs }))
}

function compileBucket(name: string, limit: BucketLimit): CompiledLimit {
  knownOptions('A bucket limit', limit, ['name', 'limit', 'keyBy', 'periodMs', 'burst'])
  const periodMs = numberOption('limits.periodMs', limit.periodMs, { min: 0.001, max: 1e13 })
  const per = numberOption('limits.limit', limit.limit, { min: 0, max: 1e12, integer: true })
  const burst = numberOption('limits.burst', limit.burst ?? per, { min: 0, max: 1e12, integer: true })
  const capacity = per === 0 ? 0 : burst
  const rate = Math.max(per, 1)
  if (periodMs / rate < MIN_INTERVAL_MS) {
    throw new RangeError(
      `Expected a rate up to ${1 / MIN_INTERVAL_MS} in a millisecond, got ${per} in ${periodMs} ms`,
    )
  }
  // A debt may be twice the capacity. In microseconds, as everything that the script counts.
  const exact = unitsFor(
    (periodMs * 1000) / rate,
    ({ units }) => 2 * units * Math.max(capacity, 1) <= MAX_UNITS,
  )
  if (exact === undefined) {
    throw new RangeError(
      `Expected a bucket that fills within some decades, got one of ${burst} with ${per} in ${periodMs} ms`,
    )
  }
  const common = commonDivisor(exact.units, exact.perMs)
  const bucket = { emission: exact.units / common, parts: exact.perMs / common }
  return {
    name,
    keyBy: limit.keyBy,
    capacity,
    windowMs: (capacity * periodMs) / rate,
    args: [String(capacity), String(bucket.emission), String(bucket.parts), 'gcra'],
    bucket,
    perMs: per / periodMs,
    share: (nodes, clock, maxKeys) =>
      gcra({
        name,
        limit: rate,
        periodMs: periodMs * nodes,
        burst: shareOf(capacity, nodes),
        clock,
        maxKeys,
      }),
  }
}

function compileWindow(name: string, limit: WindowLimit): CompiledLimit {
  knownOptions('A window limit', limit, ['name', 'limit', 'keyBy', 'windowMs', 'buckets', 'oldest'])
  const capacity = numberOption('limits.limit', limit.limit, { min: 0, max: 1e12, integer: true })
  const windowMs = numberOption('limits.windowMs', limit.windowMs, { min: 0.001, max: 1e13 })
  const buckets = numberOption('limits.buckets', limit.buckets ?? 10, { min: 1, max: 1000, integer: true })
  const oldest = choiceOption('limits.oldest', limit.oldest ?? 'whole', ['whole', 'weighted'])
  const length = (windowMs * 1000) / buckets
  if (!Number.isInteger(length) || 2 * length * Math.max(capacity, buckets) > MAX_UNITS) {
    throw new RangeError(
      `Expected \`limits.windowMs\` to divide into buckets of whole microseconds, and \`limit\` times \`windowMs\` to stay below 1e12, got ${capacity} in ${buckets} buckets of ${length} microseconds`,
    )
  }
  return {
    name,
    keyBy: limit.keyBy,
    capacity,
    windowMs,
    args: [String(capacity), String(length), String(buckets), oldest],
    bucket: undefined,
    perMs: capacity / windowMs,
    share: (nodes, clock, maxKeys) => {
      const part = shareOf(capacity, nodes)
      // A limit below one for each process is one for each, in a window that is longer in proportion.
      const longer = part * nodes > capacity && capacity > 0 ? (part * nodes) / capacity : 1
      return slidingWindow({
        name,
        limit: part,
        windowMs: windowMs * longer,
        buckets,
        oldest,
        clock,
        maxKeys,
      })
    },
  }
}

function shareOf(capacity: number, nodes: number): number {
  return capacity === 0 ? 0 : Math.max(1, Math.floor(capacity / nodes))
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}
