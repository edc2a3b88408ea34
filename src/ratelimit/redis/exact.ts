/**
 * The limit itself lives in Redis, and every call that may be granted asks it, in one round trip.
 *
 * Bound, for all processes together: that of the limit; of a bucket, no more than `burst + d limit / periodMs` in
 * every closed interval of length d of the server's clock, and of a window, no more than `limit` in every interval
 * of length `windowMs`. A failover of Redis may forget the last writes: what was granted between the last write that
 * was replicated and the failover can be granted again.
 */
import { defaultContext } from '../../core/ambient.ts'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import { numberOption } from '../../core/options.ts'
import type { RedisScript } from '../../internal/redis-script.ts'
import { merge } from '../all.ts'
import { checkCost, checkKey } from '../checks.ts'
import type { Decision, DecisionSource, LimitPolicy } from '../limiter.ts'
import { Denials } from './denials.ts'
import type { Fallback } from './fallback.ts'
import type { KeyNames } from './keys.ts'
import { type CompiledLimit, policiesOf } from './limits.ts'
import type { Link, Reply } from './link.ts'
import type { RedisLimiter, RedisLimiterSnapshot, RedisLimiterUpdate } from './types.ts'

/** More microseconds than a block by hand can last: it has no end. */
const ENDLESS_US = 2 ** 51

/** The settings in force, checked. */
export interface Terms {
  readonly update: RedisLimiterUpdate
  readonly limits: readonly CompiledLimit[]
  readonly names: KeyNames
  readonly fallback: Fallback
}

export interface ExactParts {
  readonly name: string
  readonly clock: Clock
  readonly link: Link
  readonly script: RedisScript
  readonly terms: Terms
  /** Makes new settings of those in force and a change. */
  readonly amend: (terms: Terms, change: Partial<RedisLimiterUpdate>) => Terms
  readonly denyCacheKeys: number
  readonly denyCacheMs: number
}

export class ExactLimiter implements RedisLimiter {
  readonly immediate: false
  readonly kind: string
  readonly name: string
  readonly clock: Clock
  readonly link: Link
  terms: Terms
  /** Decisions so far. */
  allowed: number
  denied: number
  sources: Partial<Record<DecisionSource, number>>
  private readonly script: RedisScript
  private readonly amend: ExactParts['amend']
  private readonly denials: Denials
  private tail: readonly string[]
  /** What stands for a take of 1, where the script has a short form of it. */
  private short: readonly string[] | undefined
  private promise: readonly LimitPolicy[]
  private lost: number

  constructor({ name, clock, link, script, terms, amend, denyCacheKeys, denyCacheMs }: ExactParts) {
    this.immediate = false
    this.kind = 'redis-exact'
    this.name = name
    this.clock = clock
    this.link = link
    this.script = script
    this.amend = amend
    this.terms = terms
    this.tail = terms.limits.flatMap(limit => limit.args)
    this.short = shortOf(terms.limits)
    this.promise = policiesOf(terms.limits)
    this.denials = new Denials(denyCacheKeys, denyCacheMs)
    this.allowed = 0
    this.denied = 0
    this.sources = {}
    this.lost = 0
  }

  take(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    const now = this.clock.now()
    const { names, fallback } = this.terms
    const keys = names.of(key)
    const held = this.denials.find(keys.at(-1)!, cost, now)
    if (held !== undefined) return this.count(held)
    if (!this.link.open) {
      this.probe(keys, now)
      return this.count(fallback.take(key, cost, now, this.link.pauseMs(now)))
    }
    return this.ask('take', keys, cost, 0, context, now, reply => {
      const after = this.clock.now()
      if (reply === undefined) {
        return this.count(fallback.take(key, cost, after, this.link.pauseMs(after)))
      }
      const decision = this.read(reply)
      if (decision.allowed) fallback.granted(key, cost, after)
      else this.denials.note(keys.at(-1)!, cost, decision, now, after)
      return this.count(decision)
    })
  }

  peek(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    const now = this.clock.now()
    const { names, fallback } = this.terms
    const keys = names.of(key)
    if (!this.link.open) {
      this.probe(keys, now)
      return fallback.peek(key, cost, now, this.link.pauseMs(now))
    }
    return this.ask('peek', keys, cost, 0, context, now, reply => {
      if (reply !== undefined) return this.read(reply)
      const after = this.clock.now()
      return fallback.peek(key, cost, after, this.link.pauseMs(after))
    })
  }

  refund(key: string, cost: number, _context?: Context, takenAt?: number): Promise<void> {
    checkKey(key)
    checkCost(cost)
    const now = this.clock.now()
    this.terms.fallback.refund(key, cost, now, takenAt)
    const age = takenAt === undefined ? 0 : Math.max(0, Math.round((now - takenAt) * 1000))
    return this.tell('refund', this.terms.names.of(key), cost, age, now)
  }

  charge(key: string, cost: number, _context?: Context): Promise<void> {
    checkKey(key)
    checkCost(cost)
    const now = this.clock.now()
    this.terms.fallback.charge(key, cost, now)
    return this.tell('charge', this.terms.names.of(key), cost, 0, now)
  }

  block(key: string, forMs: number, _context?: Context): Promise<void> {
    checkKey(key)
    numberOption('forMs', forMs, { min: 0, infinite: true })
    const now = this.clock.now()
    this.terms.fallback.block(key, forMs, now)
    return this.tell('block', this.terms.names.of(key), Math.min(ENDLESS_US, Math.ceil(forMs * 1000)), 0, now)
  }

  policies(): readonly LimitPolicy[] {
    return this.promise
  }

  update(change: Partial<RedisLimiterUpdate>): void {
    this.terms = this.amend(this.terms, change)
    this.tail = this.terms.limits.flatMap(limit => limit.args)
    this.short = shortOf(this.terms.limits)
    this.promise = policiesOf(this.terms.limits)
    this.denials.clear()
  }

  snapshot(): RedisLimiterSnapshot {
    return {
      mode: 'exact',
      settings: this.terms.update,
      allowed: this.allowed,
      denied: this.denied,
      sources: { ...this.sources },
      redis: this.link.snapshot(),
      lost: this.lost,
      keys: this.denials.size,
      onLease: 0,
    }
  }

  /** What this process knows and has counted; what is in Redis belongs to all. */
  reset(): void {
    this.denials.clear()
    this.terms.fallback.clear()
    this.allowed = 0
    this.denied = 0
    this.sources = {}
    this.lost = 0
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** Counts a decision on its way out. */
  count(decision: Decision): Decision {
    if (decision.allowed) this.allowed++
    else this.denied++
    this.sources[decision.source] = (this.sources[decision.source] ?? 0) + 1
    return decision
  }

  /** Sees whether Redis is back, with a question that changes nothing. */
  probe(keys: readonly string[], now: number): void {
    this.link.probe({ script: this.script, keys, args: ['peek', 0, 0, ...this.tail] }, now)
  }

  /** Something that nobody waits for an answer to. Never rejects. */
  async tell(
    operation: string,
    keys: readonly string[],
    cost: number,
    age: number,
    now: number,
  ): Promise<void> {
    this.denials.forget(keys.at(-1)!)
    if (cost === 0 && operation !== 'block') return
    const reply = this.link.open
      ? await this.ask(operation, keys, cost, age, this.link.background, now, reply => reply)
      : undefined
    this.denials.forget(keys.at(-1)!)
    if (reply === undefined) this.lost++
  }

  private ask<T>(
    operation: string,
    keys: readonly string[],
    cost: number,
    age: number,
    context: Context,
    now: number,
    read: (reply: Reply | undefined) => T,
  ): Promise<T> {
    const { short } = this
    const args =
      short === undefined || operation !== 'take'
        ? [operation, cost, age, ...this.tail]
        : cost === 1
          ? short
          : [...short, cost]
    return this.link.askAnd({ script: this.script, keys, args }, context, now, read)
  }

  private read(reply: Reply): Decision {
    const { limits } = this.terms
    if (limits.length === 1) return read(reply, 0, limits[0]!)
    return merge(limits.map((limit, index) => read(reply, index, limit)))
  }
}

function shortOf(limits: readonly CompiledLimit[]): readonly string[] | undefined {
  const [limit] = limits
  return limits.length === 1 && limit!.bucket?.parts === 1 ? limit!.args.slice(0, 2) : undefined
}

function read(reply: Reply, index: number, { name, capacity }: CompiledLimit): Decision {
  const blocked = reply[1] as number
  const wait = reply[2 + 3 * index] as number
  const longest = Math.max(wait, blocked)
  return {
    allowed: longest === 0 && wait === 0,
    limit: capacity,
    remaining: reply[3 + 3 * index] as number,
    retryAfterMs: wait < 0 || longest > ENDLESS_US / 2 ? Infinity : longest / 1000,
    resetAfterMs: Math.max(reply[4 + 3 * index] as number, blocked) / 1000,
    policy: name,
    source: 'redis',
    shadowed: false,
    parts: undefined,
  }
}
