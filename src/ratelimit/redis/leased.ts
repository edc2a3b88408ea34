/**
 * Takes tokens ahead and spends them here: most calls are answered at once, and one command serves many of them.
 *
 *   B, r   capacity and rate of the bucket in Redis
 *   N, q   processes; the most that each holds of a key without having spent it (`maxLease`)
 *
 * Bound: in every interval of length d all processes together grant no more than B + r d + N max(q, c) of a key,
 * where c is the largest cost of one call; a return that takes longer than `timeoutMs` to reach Redis may count twice.
 * In the long run it is the limit exactly, for every token that is spent was
 * taken from the bucket before. With the default q, that is no more than half of B above the limit.
 *
 * A lease is made for what the key spends in two refill times, asked for ahead of need, and never more than
 * 1 / (2 N) of what is left in the bucket. A limit too small for that is asked for call by call, as in `exact`. What is
 * not spent in time goes back. A process that crashes takes what it holds with it, no more than q.
 */
import { defaultContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import type { RedisScript } from '../../internal/redis-script.ts'
import { after } from '../../internal/timer.ts'
import { checkCost, checkKey } from '../checks.ts'
import type { Decision, DecisionSource, LimitPolicy } from '../limiter.ts'
import type { ExactLimiter } from './exact.ts'
import { Lease, LeaseWait } from './lease.ts'
import type { CompiledLimit } from './limits.ts'
import type { RedisLimiter, RedisLimiterSnapshot, RedisLimiterUpdate } from './types.ts'

/** A key whose bucket is empty is not asked for more often than this, however fast it fills. */
const EMPTY_PAUSE_MS = 5

export interface LeasedParts {
  readonly exact: ExactLimiter
  readonly script: RedisScript
  readonly maxKeys: number
  readonly maxLease: number | undefined
  readonly leaseMs: number
  readonly refillEveryMs: number
}

export class LeasedLimiter implements RedisLimiter {
  readonly immediate: false
  readonly kind: string
  readonly name: string
  private readonly exact: ExactLimiter
  private readonly script: RedisScript
  private readonly maxKeys: number
  private readonly givenLease: number | undefined
  private readonly leaseMs: number
  private readonly refillEveryMs: number
  private readonly leases: Map<string, Lease>
  private readonly asks: Set<Promise<void>>
  private limit: CompiledLimit
  private nodes: number
  private maxLease: number
  private stopSweep: (() => void) | undefined
  private closed: boolean

  constructor({ exact, script, maxKeys, maxLease, leaseMs, refillEveryMs }: LeasedParts) {
    this.immediate = false
    this.kind = 'redis-leased'
    this.name = exact.name
    this.exact = exact
    this.script = script
    this.maxKeys = maxKeys
    this.givenLease = maxLease
    this.leaseMs = leaseMs
    this.refillEveryMs = refillEveryMs
    this.leases = new Map()
    this.asks = new Set()
    this.limit = exact.terms.limits[0]!
    this.nodes = 1
    this.maxLease = 0
    this.stopSweep = undefined
    this.closed = false
    this.adopt()
  }

  take(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    const { exact, limit } = this
    const now = exact.clock.now()
    const lease = cost === 0 || cost > limit.capacity || this.closed ? undefined : this.leaseOf(key, now)
    if (lease === undefined) return exact.take(key, cost, context)
    const { fallback } = exact.terms
    if (now >= lease.blockedUntil && lease.left(now) >= cost && lease.waiting.length === 0) {
      lease.spend(cost, now)
      fallback.granted(key, cost, now)
      if (lease.tokens < lease.lowWater && now >= lease.pausedUntil) this.ask(lease, now)
      return exact.count(this.decide(lease, 0, 'lease', now))
    }
    if (!exact.link.open) {
      exact.probe(lease.keys, now)
      return exact.count(fallback.take(key, cost, now, exact.link.pauseMs(now)))
    }
    if (lease.waiting.length === 0) {
      const wait = lease.waitMs(cost, limit.capacity, limit.bucket!, now)
      if (wait > 0) {
        lease.usedAt = now
        return exact.count(this.decide(lease, wait, 'cache', now))
      }
    }
    if (context.scope.ending !== undefined) return Promise.reject(context.scope.reason)
    return this.wait(lease, cost, context, now).then(outcome => {
      const later = exact.clock.now()
      if (outcome === 'away') {
        return exact.count(fallback.take(key, cost, later, exact.link.pauseMs(later)))
      }
      if (outcome === 'granted') {
        fallback.granted(key, cost, later)
        return exact.count(this.decide(lease, 0, 'redis', later))
      }
      const wait = lease.waitMs(cost, this.limit.capacity, this.limit.bucket!, later)
      return exact.count(this.decide(lease, Math.max(wait, 0.001), 'redis', later))
    })
  }

  peek(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    const now = this.exact.clock.now()
    const lease = this.leases.get(this.exact.terms.names.of(key).at(-1)!)
    const held = lease !== undefined && now >= lease.blockedUntil && lease.left(now) >= cost && cost > 0
    return held ? this.decide(lease, 0, 'lease', now) : this.exact.peek(key, cost, context)
  }

  refund(key: string, cost: number, context?: Context, takenAt?: number): void | Promise<void> {
    checkKey(key)
    checkCost(cost)
    const now = this.exact.clock.now()
    const lease = this.leases.get(this.exact.terms.names.of(key).at(-1)!)
    if (lease === undefined || now >= lease.expiresAt || lease.tokens + cost > this.maxLease) {
      return this.exact.refund(key, cost, context, takenAt)
    }
    this.exact.terms.fallback.refund(key, cost, now, takenAt)
    lease.tokens += cost
  }

  charge(key: string, cost: number, context?: Context): Promise<void> {
    return this.exact.charge(key, cost, context)
  }

  block(key: string, forMs: number, context?: Context): Promise<void> {
    const told = this.exact.block(key, forMs, context)
    const now = this.exact.clock.now()
    const lease = this.leases.get(this.exact.terms.names.of(key).at(-1)!)
    if (lease !== undefined) {
      lease.blockedUntil = now + forMs
      this.giveBack(lease, lease.tokens, now)
    }
    return told
  }

  policies(): readonly LimitPolicy[] {
    return this.exact.policies()
  }

  update(change: Partial<RedisLimiterUpdate>): void {
    this.exact.update(change)
    this.adopt()
    const now = this.exact.clock.now()
    for (const lease of this.leases.values()) {
      lease.learn(0, now)
      this.giveBack(lease, lease.tokens - this.maxLease, now)
    }
  }

  snapshot(): RedisLimiterSnapshot {
    let onLease = 0
    for (const lease of this.leases.values()) onLease += lease.tokens
    return { ...this.exact.snapshot(), mode: 'leased', keys: this.leases.size, onLease }
  }

  /** Leases go back; what is in Redis belongs to all. */
  reset(): void {
    const now = this.exact.clock.now()
    for (const lease of this.leases.values()) this.giveBack(lease, lease.tokens, now)
    this.exact.reset()
  }

  async close(): Promise<void> {
    this.closed = true
    this.stopSweep?.()
    this.stopSweep = undefined
    await Promise.all(this.asks)
    const now = this.exact.clock.now()
    for (const lease of this.leases.values()) this.giveBack(lease, lease.tokens, now)
    this.leases.clear()
    await Promise.all(this.asks)
  }

  private adopt(): void {
    const { limits, update } = this.exact.terms
    this.limit = limits[0]!
    this.nodes = update.nodes!
    this.maxLease = this.givenLease ?? Math.floor(this.limit.capacity / (2 * this.nodes))
  }

  /** The key's lease; none for a new key while `maxKeys` others are in use. */
  private leaseOf(key: string, now: number): Lease | undefined {
    const keys = this.exact.terms.names.of(key)
    const id = keys.at(-1)!
    let lease = this.leases.get(id)
    if (lease !== undefined || this.leases.size >= this.maxKeys) return lease
    lease = new Lease(keys, now)
    this.leases.set(id, lease)
    this.stopSweep ??= after(this.exact.clock, this.leaseMs, () => this.sweep())
    return lease
  }

  private wait(
    lease: Lease,
    cost: number,
    context: Context,
    now: number,
  ): Promise<'granted' | 'denied' | 'away'> {
    const { clock, link } = this.exact
    const until = now + link.timeoutMs
    return new Promise((resolve, reject) => {
      lease.waiting.push(new LeaseWait(cost, clock, context.scope, until, resolve, reject))
      this.ask(lease, now)
    })
  }

  /** Asks for what calls wait for, and for as much as the next ones will need. */
  private ask(lease: Lease, now: number): void {
    const { exact, limit, nodes, maxLease } = this
    if (lease.asking || lease.returning > 0 || !exact.link.open) return
    lease.asking = true
    lease.waiting = lease.waiting.filter(waiter => !waiter.over)
    const left = lease.tokens
    const first = lease.waiting[0]?.cost ?? 0
    let sum = 0
    for (const waiter of lease.waiting) sum += waiter.cost
    const need = Math.max(0, Math.max(first, Math.min(sum, maxLease)) - left)
    const target = maxLease < 2 ? 0 : Math.max(1, lease.demand(2 * this.refillEveryMs, now))
    const want = Math.max(need, Math.min(maxLease, sum + target) - left)
    lease.lowWater = Math.min(maxLease, target) / 2
    const args = [...limit.args.slice(0, 3), need, want, nodes]
    const asked = exact.link
      .ask({ script: this.script, keys: lease.keys, args }, exact.link.background, now)
      .then(reply => {
        lease.asking = false
        if (reply === undefined) {
          for (const waiter of lease.waiting.splice(0)) waiter.settle('away')
          return
        }
        this.granted(lease, reply as readonly number[], need, now)
      })
    this.asks.add(asked)
    void asked.then(() => this.asks.delete(asked))
  }

  private granted(lease: Lease, reply: readonly number[], need: number, sentAt: number): void {
    const now = this.exact.clock.now()
    const [tokens, blockedUs, debt] = reply as [number, number, number]
    lease.tokens += tokens
    lease.expiresAt = sentAt + this.leaseMs
    lease.learn(debt, sentAt)
    if (blockedUs > 0) lease.blockedUntil = sentAt + blockedUs / 1000
    const empty = tokens < need
    if (empty) lease.pausedUntil = now + EMPTY_PAUSE_MS
    const waiting = lease.waiting
    lease.waiting = []
    for (const waiter of waiting) {
      if (waiter.over) continue
      if (lease.left(now) >= waiter.cost && blockedUs === 0) {
        lease.spend(waiter.cost, now)
        waiter.settle('granted')
      } else if (empty || blockedUs > 0) waiter.settle('denied')
      else lease.waiting.push(waiter)
    }
    if (this.closed) this.giveBack(lease, lease.tokens, now)
    if (lease.waiting.length > 0) this.ask(lease, now)
  }

  /** Returns what was not spent in time, and forgets keys that nobody uses. */
  private sweep(): void {
    const now = this.exact.clock.now()
    for (const [id, lease] of this.leases) {
      const idle = now - lease.usedAt >= this.leaseMs
      if (idle || now >= lease.expiresAt) this.giveBack(lease, lease.tokens, now)
      const quiet = !lease.asking && lease.returning === 0 && lease.waiting.length === 0
      if (idle && quiet && now >= lease.blockedUntil) this.leases.delete(id)
    }
    this.stopSweep =
      this.leases.size === 0 ? undefined : after(this.exact.clock, this.leaseMs, () => this.sweep())
  }

  private giveBack(lease: Lease, tokens: number, now: number): void {
    if (tokens <= 0) return
    lease.tokens -= tokens
    lease.returning++
    const told = this.exact.tell('refund', lease.keys, tokens, 0, now).then(() => {
      lease.returning--
      if (lease.waiting.length > 0) this.ask(lease, this.exact.clock.now())
    })
    this.asks.add(told)
    void told.then(() => this.asks.delete(told))
  }

  private decide(lease: Lease, wait: number, source: DecisionSource, now: number): Decision {
    const { name, capacity, bucket } = this.limit
    const reset = lease.resetMs(bucket!, now)
    const room = lease.room(capacity, bucket!, now)
    return {
      allowed: wait <= 0,
      limit: capacity,
      remaining: now < lease.blockedUntil ? 0 : room,
      retryAfterMs: wait,
      resetAfterMs: Math.max(wait, reset),
      policy: name,
      source,
      shadowed: false,
      parts: undefined,
    }
  }
}
