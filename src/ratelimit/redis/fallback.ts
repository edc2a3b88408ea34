/**
 * Who decides while Redis is out of reach.
 *
 *   open     everything is granted
 *   closed   everything is denied
 *   local    each process grants its share of the limit, `limit / nodes`
 *
 * The share is warm: it counts what this process granted while Redis was there, so that the moment of the outage is
 * not worth a second burst. Bound of `local`, for all processes together: the limit itself while no more than
 * `nodes` of them run and the limit divides by `nodes`; a share is at least 1.
 * An interval in which Redis goes or comes back may hold what it granted and what the shares granted: no more than
 * twice the limit.
 */
import type { Clock } from '../../core/clock.ts'
import { all } from '../all.ts'
import { keyedBy } from '../keyed-by.ts'
import type { Decision, Limiter } from '../limiter.ts'
import type { CompiledLimit } from './limits.ts'

export type Outage = 'open' | 'closed' | 'local'

export interface FallbackOptions {
  readonly outage: Outage
  readonly limits: readonly CompiledLimit[]
  readonly nodes: number
  readonly clock: Clock
  readonly maxKeys: number
}

export class Fallback {
  private readonly outage: Outage
  private readonly limits: readonly CompiledLimit[]
  private readonly share: Limiter | undefined
  /** The largest cost that every limit could ever grant. */
  private readonly capacity: number

  constructor({ outage, limits, nodes, clock, maxKeys }: FallbackOptions) {
    this.outage = outage
    this.limits = limits
    this.capacity = Math.min(...limits.map(limit => limit.capacity))
    this.share = outage === 'local' ? shareOf(limits, nodes, clock, maxKeys) : undefined
  }

  take(key: string, cost: number, now: number, pauseMs: number): Decision {
    return this.share === undefined
      ? this.ruled(cost, pauseMs)
      : this.renamed(this.share.take(key, cost, now), cost)
  }

  peek(key: string, cost: number, now: number, pauseMs: number): Decision {
    return this.share === undefined
      ? this.ruled(cost, pauseMs)
      : this.renamed(this.share.peek(key, cost, now), cost)
  }

  /** The shared state granted this; the share never goes into debt for it. */
  granted(key: string, cost: number, now: number): void {
    if (this.share !== undefined && cost > 0) this.share.take(key, cost, now)
  }

  refund(key: string, cost: number, now: number, takenAt?: number): void {
    this.share?.refund(key, cost, now, takenAt)
  }

  charge(key: string, cost: number, now: number): void {
    this.share?.charge(key, cost, now)
  }

  block(key: string, forMs: number, now: number): void {
    this.share?.block(key, forMs, now)
  }

  clear(): void {
    this.share?.reset()
  }

  /** A cost above the share but not above the limit is granted again when Redis is back. */
  private renamed(decision: Decision, cost: number): Decision {
    const never = decision.retryAfterMs === Infinity && cost <= this.capacity && this.capacity > 0
    return {
      ...decision,
      retryAfterMs: never ? decision.resetAfterMs + 1_000 : decision.retryAfterMs,
      source: 'share',
      parts: decision.parts?.map(part => ({ ...part, source: 'share' })),
    }
  }

  private ruled(cost: number, pauseMs: number): Decision {
    const { limits, capacity } = this
    const never = cost > capacity || capacity === 0
    const allowed = this.outage === 'open' && !never
    const first = limits.find(limit => limit.capacity === capacity)!
    return {
      allowed,
      limit: first.capacity,
      remaining: allowed ? first.capacity : 0,
      retryAfterMs: allowed ? 0 : never ? Infinity : pauseMs,
      resetAfterMs: allowed ? 0 : pauseMs,
      policy: first.name,
      source: this.outage === 'open' ? 'open' : 'closed',
      shadowed: false,
      parts: undefined,
    }
  }
}

function shareOf(limits: readonly CompiledLimit[], nodes: number, clock: Clock, maxKeys: number): Limiter {
  const shares = limits.map(limit => {
    const share = limit.share(nodes, clock, maxKeys)
    return limit.keyBy === undefined ? share : keyedBy(share, limit.keyBy)
  })
  return shares.length === 1 ? shares[0]! : all(...shares)
}
