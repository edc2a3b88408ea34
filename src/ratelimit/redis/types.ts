import type { Clock } from '../../core/clock.ts'
import type { Middleware } from '../../core/handler.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import type { DecisionSource, RemoteLimiter } from '../limiter.ts'
import type { Outage } from './fallback.ts'
import type { BucketLimit, RedisLimit } from './limits.ts'
import type { LinkSnapshot } from './link.ts'

interface CommonOptions {
  /** A client of ioredis 5 or 6, for one server or for a cluster; best one that only limiters use. */
  readonly client: RedisClient
  /** Names the limiter in Redis, in refusals and in metrics. All processes that share the limit use the same one. */
  readonly name: string
  /** Who decides while Redis is out of reach. @default 'local' */
  readonly outage?: Outage
  /** How long a call waits for Redis before `outage` decides. @default 50 */
  readonly timeoutMs?: number
  /** How often a Redis that is out of reach is tried, in the background. @default 100 */
  readonly probeEveryMs?: number
  /** Stands around every script that is sent: a breaker or a deadline of your own. @default none */
  readonly around?: Middleware
  /**
   * How many keys in use at once this process keeps something for: the local share of each, its lease, its share.
   * @default 100_000; with `fair` 1_000
   */
  readonly maxKeys?: number
  /** @default the process's clock */
  readonly clock?: Clock
}

/** Every call asks Redis. */
export interface ExactOptions extends CommonOptions {
  /** @default 'exact' */
  readonly mode?: 'exact'
  /** One limit or several at once, all or nothing. */
  readonly limits: RedisLimit | readonly RedisLimit[]
  /** How many processes share the limit. Needed for `outage: 'local'`. */
  readonly nodes?: number
  /**
   * Keys with the same value lie on one server of a cluster. Needed where a limit has `keyBy`, for it can only be
   * counted together with the others on the same server; without it, such a limiter uses one server for all keys.
   * @default the key itself
   */
  readonly slotBy?: (key: string) => string
  /** Denials that are remembered, so that a key that is denied asks no more. 0 remembers none. @default 10_000 */
  readonly denyCacheKeys?: number
  /** A denial is asked for again after at most so long, to notice a refund by another process. @default 1_000 */
  readonly denyCacheMs?: number
}

/** Tokens are taken ahead from Redis, and spent here. */
export interface LeasedOptions extends CommonOptions {
  readonly mode: 'leased'
  readonly limits: BucketLimit
  /** How many processes share the limit. */
  readonly nodes: number
  /** The most that this process holds of a key's limit without having spent it. @default burst / (2 nodes) */
  readonly maxLease?: number
  /** Tokens that are not spent in this time are returned. @default 1_000 */
  readonly leaseMs?: number
  /** A lease is made for as much as a key spends in this time. @default 100 */
  readonly refillEveryMs?: number
}

/** Each process gets a share of the limit, by what it and the others need. */
export interface FairOptions extends CommonOptions {
  readonly mode: 'fair'
  readonly limits: BucketLimit
  /** How many processes share the limit: `limit / nodes` is the safe share that needs no Redis. */
  readonly nodes: number
  /** Shares grow in proportion to it. @default 1 */
  readonly weight?: number
  /** How often shares are agreed on. @default 200 */
  readonly refreshMs?: number
  /** A share that is not renewed ends after this time. @default 5 refreshMs */
  readonly leaseMs?: number
}

export type RedisLimiterOptions = ExactOptions | LeasedOptions | FairOptions

/** What `update` can change: all of it in `exact`, the limit's numbers in the other modes. */
export interface RedisLimiterUpdate {
  readonly limits?: RedisLimit | readonly RedisLimit[]
  readonly outage?: Outage
  readonly nodes?: number
}

export interface RedisLimiterSnapshot {
  readonly mode: 'exact' | 'leased' | 'fair'
  /** The options in force that `update` can change. */
  readonly settings: object
  readonly allowed: number
  readonly denied: number
  /** Decisions by who made them. */
  readonly sources: Readonly<Partial<Record<DecisionSource, number>>>
  readonly redis: LinkSnapshot
  /** Refunds, charges and blocks that did not reach Redis. */
  readonly lost: number
  /** Keys that something is kept for: denials, leases or shares. */
  readonly keys: number
  /** Tokens taken from Redis and not spent yet; only with `leased`. */
  readonly onLease: number
}

export interface RedisLimiter extends RemoteLimiter<RedisLimiterUpdate, RedisLimiterSnapshot> {
  /** Gives back what is held of the limits; call it at shutdown. Afterwards every call asks Redis. */
  close(): Promise<void>
}
