/**
 * The words that all limiters share.
 *
 * A denial is a value, never an exception: an exception means that the question made no sense (a cost of NaN), or
 * that somebody waited and the call ended meanwhile. `retryAfterMs` tells "not now" from "never".
 */
import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Mechanism } from '../core/mechanism.ts'

/**
 * Who decided. `local`: this process, on its own limit. `redis`: the shared state, just asked. `lease`: tokens that
 * were taken from the shared state ahead of time. `share`: this process, on its share of a limit whose shared state
 * is out of reach or handed out in shares. `cache`: a denial of the shared state that still holds. `open`, `closed`:
 * nobody; the shared state is out of reach and the policy for that is to let everything, or nothing, through.
 */
export type DecisionSource = 'local' | 'redis' | 'lease' | 'share' | 'cache' | 'open' | 'closed'

/** The answer to one `take` or `peek`. */
export interface Decision {
  readonly allowed: boolean
  /** The most that a key could ever be granted at one instant. */
  readonly limit: number
  /** The largest cost that would be granted now, after this decision: a whole number from 0 to `limit`. */
  readonly remaining: number
  /**
   * 0 if allowed. Otherwise the same call is granted after exactly this long, if nothing else happens to the key.
   * `Infinity` means never: the cost is above the limit, or the limit is 0.
   */
  readonly retryAfterMs: number
  /** After this long without a call the key is as good as new. */
  readonly resetAfterMs: number
  /** The name of the limit that this is about; of several limits, the one that refused or has the least left. */
  readonly policy: string
  readonly source: DecisionSource
  /** The limit only watches: it would have refused, and let the call through all the same. */
  readonly shadowed: boolean
  /** Of several limits at once: what each of them said, in their order. `undefined` for a single limit. */
  readonly parts: readonly Decision[] | undefined
}

/** What a limit promises, in the words of the `RateLimit-Policy` header field. */
export interface LimitPolicy {
  readonly name: string
  /** How much in a window. */
  readonly quota: number
  /** How long the window is; for a bucket, how long it takes to fill. `undefined` for a limit without a time. */
  readonly windowMs: number | undefined
}

/** What both kinds of limiter have in common. */
interface LimiterBase<Options = any, Snapshot extends object = object> extends Mechanism<Options, Snapshot> {
  /** What is promised, for the answer's header fields. */
  policies(): readonly LimitPolicy[]
}

/**
 * A limiter that answers at once, from this process's own state.
 *
 * `key` says whose limit it is; any string will do. `cost` is a whole number from 0 up; anything else throws and
 * changes nothing. A cost of 0 asks whether the key is blocked, and takes nothing. `now` is a reading of the
 * limiter's clock; it is read if not given, and a reading older than an earlier one counts as that one.
 * A call that is denied changes nothing.
 */
export interface Limiter<Options = any, Snapshot extends object = object>
  extends LimiterBase<Options, Snapshot> {
  readonly immediate: true
  /** Where `now` comes from when it is not given. */
  readonly clock: Clock
  /** Takes `cost` from `key` if there is that much, all or nothing. @default cost 1 */
  take(key: string, cost?: number, now?: number): Decision
  /** What `take` would say, without taking anything. @default cost 1 */
  peek(key: string, cost?: number, now?: number): Decision
  /**
   * Gives back what was taken at `takenAt` and not used. Never leaves a key with more than the limit; what was
   * taken in a window that is over is not given back to the next one. @default takenAt now
   */
  refund(key: string, cost: number, now?: number, takenAt?: number): void
  /**
   * Takes `cost` whether there is that much or not: for work that cost more than was reserved, or as a penalty.
   * A key's debt never exceeds one whole limit.
   */
  charge(key: string, cost: number, now?: number): void
  /** Denies everything to `key` for so long; 0 ends a block. */
  block(key: string, forMs: number, now?: number): void
  /**
   * Present where what was taken is held until it is given back (limits on concurrency): called once for each
   * `take` that was granted a cost, when the work is over.
   */
  release?(key: string, cost: number, now?: number): void
}

/**
 * A limiter that may have to wait for its answer: for shared state, or for the caller's turn. It answers with a
 * value wherever it can and with a promise only where it must. The wait ends when the call does.
 */
export interface RemoteLimiter<Options = any, Snapshot extends object = object>
  extends LimiterBase<Options, Snapshot> {
  readonly immediate: false
  take(key: string, cost?: number, context?: Context): Decision | Promise<Decision>
  peek(key: string, cost?: number, context?: Context): Decision | Promise<Decision>
  /**
   * As for `Limiter`; `takenAt` is when the grant came, on the context's clock. Resolves when it has been done; a
   * failure is counted in `snapshot()`, never thrown.
   */
  refund(key: string, cost: number, context?: Context, takenAt?: number): void | Promise<void>
  charge(key: string, cost: number, context?: Context): void | Promise<void>
  block(key: string, forMs: number, context?: Context): void | Promise<void>
  release?(key: string, cost: number, context?: Context): void | Promise<void>
}

/** Either kind; `immediate` tells them apart. */
export type AnyLimiter = Limiter | RemoteLimiter
