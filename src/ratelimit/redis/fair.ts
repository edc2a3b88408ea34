/**
 * Agrees on a share of the limit for each process, and grants from that share without asking.
 *
 *   B, r   capacity and rate of the limit;   N   processes;   c   the largest cost of one call
 *
 * Bound: in every interval of length d all processes together grant no more than B + r d + N c of a key. A process
 * that loses Redis goes on with its share until its lease is over, and with the safe share `limit / nodes` from then
 * on (`outage: 'local'`), so while some have lost Redis and others have not, each of the former adds a safe share. A
 * Redis that lost its memory adds a safe share for each process that joins in the first lease.
 *
 * Every `refreshMs` a process says how much its callers want, by importance, and asks for its max-min fair share of
 * what all of them said; Redis sees to it that shares never add up to more than the limit. Shares settle in about
 * three refreshes; a process that joins has something at once if the others left anything. The less important calls
 * are refused first, among processes (their claims come last) and within one (see share.ts). Meant for few, busy keys:
 * each costs a command per process and refresh. Above `maxKeys`, and after `close`, a process has a key counted in
 * Redis, call by call. That count knows nothing of the shares, so while some processes do so and others have shares
 * of the same key, the bound is twice the one above: choose `maxKeys` above the keys that are in use at once.
 */
import { randomUUID } from 'node:crypto'
import { defaultContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import { criticalities } from '../../core/criticality.ts'
import type { RedisScript } from '../../internal/redis-script.ts'
import { after } from '../../internal/timer.ts'
import { checkCost, checkKey } from '../checks.ts'
import type { Decision, LimitPolicy } from '../limiter.ts'
import { fairShare, WHOLE, writeClaims } from './claims.ts'
import type { ExactLimiter } from './exact.ts'
import { LeaseWait } from './lease.ts'
import type { CompiledLimit } from './limits.ts'
import type { Reply } from './link.ts'
import { Share } from './share.ts'
import type { RedisLimiter, RedisLimiterSnapshot, RedisLimiterUpdate } from './types.ts'

export interface FairParts {
  readonly exact: ExactLimiter
  readonly script: RedisScript
  readonly maxKeys: number
  readonly weight: number
  readonly refreshMs: number
  readonly leaseMs: number
}

export class FairLimiter implements RedisLimiter {
  readonly immediate: false
  readonly kind: string
  readonly name: string
  private readonly exact: ExactLimiter
  private readonly script: RedisScript
  private readonly maxKeys: number
  private readonly weight: number
  private readonly refreshMs: number
  private readonly leaseMs: number
  private readonly id: string
  private readonly shares: Map<string, Share>
  private readonly asks: Set<Promise<void>>
  private sequence: number
  private stopTicking: (() => void) | undefined
  private closed: boolean

  constructor({ exact, script, maxKeys, weight, refreshMs, leaseMs }: FairParts) {
    this.immediate = false
    this.kind = 'redis-fair'
    this.name = exact.name
    this.exact = exact
    this.script = script
    this.maxKeys = maxKeys
    this.weight = weight
    this.refreshMs = refreshMs
    this.leaseMs = leaseMs
    this.id = randomUUID()
    this.shares = new Map()
    this.asks = new Set()
    this.sequence = 0
    this.stopTicking = undefined
    this.closed = false
  }

  take(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    return this.answer(key, cost, context, true)
  }

  peek(key: string, cost: number = 1, context: Context = defaultContext()): Decision | Promise<Decision> {
    checkKey(key)
    checkCost(cost)
    return this.answer(key, cost, context, false)
  }

  refund(key: string, cost: number, _context?: Context, takenAt?: number): void {
    checkKey(key)
    checkCost(cost)
    const now = this.exact.clock.now()
    this.exact.terms.fallback.refund(key, cost, now, takenAt)
    this.known(key)?.change(cost, this.limit, now)
  }

  charge(key: string, cost: number): void {
    checkKey(key)
    checkCost(cost)
    const now = this.exact.clock.now()
    this.exact.terms.fallback.charge(key, cost, now)
    this.known(key)?.change(-cost, this.limit, now)
  }

  block(key: string, forMs: number, context?: Context): Promise<void> {
    const told = this.exact.block(key, forMs, context)
    const share = this.known(key)
    if (share !== undefined) share.blockedUntil = this.exact.clock.now() + forMs
    return told
  }

  policies(): readonly LimitPolicy[] {
    return this.exact.policies()
  }

  update(change: Partial<RedisLimiterUpdate>): void {
    this.exact.update(change)
  }

  snapshot(): RedisLimiterSnapshot {
    return { ...this.exact.snapshot(), mode: 'fair', keys: this.shares.size }
  }

  reset(): void {
    this.exact.reset()
  }

  async close(): Promise<void> {
    this.closed = true
    this.stopTicking?.()
    this.stopTicking = undefined
    await Promise.all(this.asks)
    const now = this.exact.clock.now()
    for (const share of this.shares.values()) this.refresh(share, now, 'leave')
    this.shares.clear()
    await Promise.all(this.asks)
  }

  private get limit(): CompiledLimit {
    return this.exact.terms.limits[0]!
  }

  private known(key: string): Share | undefined {
    return this.shares.get(this.exact.terms.names.of(key).at(-1)!)
  }

  private answer(key: string, cost: number, context: Context, taking: boolean): Decision | Promise<Decision> {
    const { exact, limit } = this
    const now = exact.clock.now()
    const share = cost > limit.capacity || this.closed ? undefined : this.shareOf(key, now)
    if (share === undefined) return taking ? exact.take(key, cost, context) : exact.peek(key, cost, context)
    const rank = criticalities.indexOf(context.criticality)
    if (taking) share.note(cost, rank, now)
    if (now < share.until) return this.decide(key, share, cost, rank, taking, now)
    share.end(limit, now)
    if (!exact.link.open) {
      exact.probe(exact.terms.names.of(key), now)
      return this.away(key, share, cost, taking, now)
    }
    if (context.scope.ending !== undefined) return Promise.reject(context.scope.reason)
    return new Promise<'granted' | 'denied' | 'away'>((resolve, reject) => {
      const until = now + exact.link.timeoutMs
      share.waiting.push(new LeaseWait(cost, exact.clock, context.scope, until, resolve, reject))
      this.refresh(share, now, 'stay')
    }).then(outcome => {
      const later = exact.clock.now()
      return outcome === 'away'
        ? this.away(key, share, cost, taking, later)
        : this.decide(key, share, cost, rank, taking, later)
    })
  }

  /** From the share. */
  private decide(
    key: string,
    share: Share,
    cost: number,
    rank: number,
    taking: boolean,
    now: number,
  ): Decision {
    const { exact, limit } = this
    const wait = limit.capacity === 0 ? Infinity : share.waitMs(cost, rank, limit, now)
    const allowed = wait <= 0
    if (allowed && taking) {
      share.spend(cost)
      exact.terms.fallback.granted(key, cost, now)
    }
    const decision: Decision = {
      allowed,
      limit: limit.capacity,
      remaining: share.room(rank, limit, now),
      // Without a share there is nothing to wait for but the next one.
      retryAfterMs: wait === Infinity ? (limit.capacity === 0 ? Infinity : this.refreshMs) : wait,
      resetAfterMs: Math.max(share.resetMs(limit, now), share.blockedUntil - now),
      policy: limit.name,
      source: 'share',
      shadowed: false,
      parts: undefined,
    }
    return taking ? exact.count(decision) : decision
  }

  /** By the outage policy. */
  private away(key: string, share: Share, cost: number, taking: boolean, now: number): Decision {
    const { fallback, update } = this.exact.terms
    const pause = this.exact.link.pauseMs(now)
    if (!taking) return fallback.peek(key, cost, now, pause)
    share.onSafe = update.outage === 'local'
    return this.exact.count(fallback.take(key, cost, now, pause))
  }

  /** The key's share; none for a new key while `maxKeys` others are in use: that is asked for call by call. */
  private shareOf(key: string, now: number): Share | undefined {
    const [own, block] = this.exact.terms.names.of(key) as [string, string]
    let share = this.shares.get(block)
    if (share !== undefined || this.shares.size >= this.maxKeys) return share
    share = new Share([`${own}#shares`, block], now)
    this.shares.set(block, share)
    this.stopTicking ??= after(this.exact.clock, this.refreshMs, () => this.tick())
    return share
  }

  /** Renews every share that is in use and leaves the others to those who use them. */
  private tick(): void {
    const { clock, link } = this.exact
    const now = clock.now()
    for (const [id, share] of this.shares) {
      if (now - share.usedAt >= this.leaseMs && !share.asking && share.waiting.length === 0) {
        this.refresh(share, now, 'leave')
        if (now >= share.blockedUntil) this.shares.delete(id)
      } else if (link.open) this.refresh(share, now, 'stay')
      else this.exact.probe([share.keys[0]!.slice(0, -'#shares'.length), share.keys[1]!], now)
    }
    this.stopTicking = this.shares.size === 0 ? undefined : after(clock, this.refreshMs, () => this.tick())
  }

  private refresh(share: Share, now: number, intent: 'stay' | 'leave'): void {
    const { exact, limit } = this
    if (share.asking || !exact.link.open) return
    share.asking = true
    if (now >= share.until) share.end(limit, now)
    if (intent === 'leave') share.end(limit, now)
    const safe = Math.floor(WHOLE / exact.terms.update.nodes!)
    const has = share.part > 0 ? share.part : share.onSafe && intent === 'stay' ? safe : 0
    const claims = writeClaims(share.wants(limit, now), this.weight)
    const asks = fairShare(claims, share.others)
    const windowUs = Math.max(1, Math.round(limit.windowMs * 1000))
    const args = [
      this.id,
      ++this.sequence,
      has,
      asks,
      safe,
      Math.round(this.leaseMs * 1000),
      windowUs,
      claims,
      intent,
    ]
    const asked = exact.link
      .ask({ script: this.script, keys: share.keys, args }, exact.link.background, now)
      .then(reply => {
        share.asking = false
        this.refreshed(share, reply, now, intent)
      })
    this.asks.add(asked)
    void asked.then(() => this.asks.delete(asked))
  }

  private refreshed(share: Share, reply: Reply | undefined, sentAt: number, intent: 'stay' | 'leave'): void {
    const now = this.exact.clock.now()
    if (reply !== undefined && reply[0] >= 0 && intent === 'stay') {
      const [part, blockedUs, tokens, ...others] = reply as [number, number, number, ...string[]]
      if (now >= share.until) share.end(this.limit, now)
      share.adopt(part, tokens, sentAt + this.leaseMs, this.limit, now)
      share.others = others
      share.onSafe = false
      if (blockedUs > 0) share.blockedUntil = sentAt + blockedUs / 1000
    }
    for (const waiter of share.waiting.splice(0)) waiter.settle(now < share.until ? 'granted' : 'away')
  }
}
