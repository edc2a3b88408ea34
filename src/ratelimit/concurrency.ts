/**
 * How much of a key's work may be going on at once.
 *
 *   grant cost c   iff   held + c <= L;   what is granted is held until `release`
 *
 * Bound: held <= L at all times. Counts exist only for keys that hold something, so there are never more of them
 * than calls in flight; past `maxKeys` such keys, further ones share one count until there is room again. (A key
 * that holds places of the shared count may, once it has a count of its own, hold up to L more.)
 *
 * `rateLimit` releases exactly once, when the handler has ended, however it ended. Who uses this by hand does the
 * same in a `finally`.
 */
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { BlockList } from './block-list.ts'
import { checkCost, checkKey } from './checks.ts'
import { noteBuilt } from './config-checks.ts'
import type { Decision, Limiter, LimitPolicy } from './limiter.ts'
import type { KeyedOptions } from './slot-limiter.ts'

export interface ConcurrencyOptions extends KeyedOptions {
  /** How much a key may hold at once. 0 denies everything. */
  readonly limit: number
  /** What a denied caller is told to wait: when a place comes free, nobody knows. @default 1000 */
  readonly retryAfterMs?: number
}

export interface ConcurrencySnapshot {
  readonly settings: object
  readonly allowed: number
  readonly denied: number
  /** Held by all keys together. */
  readonly held: number
  /** Keys that hold something. */
  readonly keys: number
  readonly maxKeys: number
  /** Grants that were counted on the shared count. */
  readonly overflowed: number
}

/** A limit on how much of a key's work goes on at once. */
export function concurrency(options: ConcurrencyOptions): Limiter<ConcurrencyOptions, ConcurrencySnapshot> {
  knownOptions('concurrency', options, ['limit', 'retryAfterMs', 'name', 'clock', 'maxKeys'])
  return new Concurrency(options)
}

class Concurrency implements Limiter<ConcurrencyOptions, ConcurrencySnapshot> {
  readonly immediate: true
  readonly kind: string
  readonly name: string
  readonly clock: Clock
  private readonly maxKeys: number
  private readonly held: Map<string, number>
  /** Held by the keys that found no room in `held`. */
  private shared: number
  private readonly blocks: BlockList
  private limit: number
  private retryAfterMs: number
  private total: number
  private allowed: number
  private denied: number
  private overflowed: number

  constructor(options: ConcurrencyOptions) {
    this.immediate = true
    this.kind = 'concurrency'
    this.name = nameOption('name', options.name ?? this.kind)
    this.clock = options.clock ?? systemClock
    this.maxKeys = numberOption('maxKeys', options.maxKeys ?? 100_000, {
      min: 1,
      max: 2 ** 24,
      integer: true,
    })
    this.held = new Map()
    this.shared = 0
    this.blocks = new BlockList(this.maxKeys)
    this.limit = limitOption(options.limit)
    this.retryAfterMs = retryOption(options.retryAfterMs ?? 1000)
    this.total = 0
    this.allowed = 0
    this.denied = 0
    this.overflowed = 0
    noteBuilt(this.kind, this.name)
    register(this)
  }

  take(key: string, cost: number = 1, now: number = this.clock.now()): Decision {
    const verdict = this.peek(key, cost, now)
    if (!verdict.allowed) {
      this.denied++
      return verdict
    }
    this.allowed++
    if (cost === 0) return verdict
    const held = this.held.get(key)
    this.total += cost
    if (held !== undefined || this.held.size < this.maxKeys) this.held.set(key, (held ?? 0) + cost)
    else {
      this.shared += cost
      this.overflowed++
    }
    return this.decide(true, verdict.remaining - cost, 0, cost)
  }

  peek(key: string, cost: number = 1, now: number = this.clock.now()): Decision {
    checkKey(key)
    checkCost(cost)
    const blocked = this.blocks.left(key, now)
    const own = this.held.get(key)
    const held = own ?? (this.held.size < this.maxKeys ? 0 : this.shared)
    const room = blocked > 0 ? 0 : Math.max(0, this.limit - held)
    if (cost > this.limit || this.limit === 0) return this.decide(false, room, Infinity, held)
    if (blocked > 0) return this.decide(false, 0, blocked, held)
    return cost <= room || cost === 0
      ? this.decide(true, room, 0, held)
      : this.decide(false, room, this.retryAfterMs, held)
  }

  release(key: string, cost: number = 1): void {
    checkKey(key)
    checkCost(cost)
    const own = this.held.get(key) ?? 0
    const fromOwn = Math.min(own, cost)
    if (fromOwn === own) this.held.delete(key)
    else this.held.set(key, own - fromOwn)
    const fromShared = Math.min(this.shared, cost - fromOwn)
    this.shared -= fromShared
    this.total -= fromOwn + fromShared
  }

  /** What is not used need not be held: the same as `release`. */
  refund(key: string, cost: number): void {
    this.release(key, cost)
  }

  /** Holds more than was granted; it is released like the rest. */
  charge(key: string, cost: number): void {
    checkKey(key)
    checkCost(cost)
    if (cost === 0) return
    const own = this.held.get(key)
    if (own === undefined && this.held.size >= this.maxKeys) this.shared += cost
    else this.held.set(key, (own ?? 0) + cost)
    this.total += cost
  }

  block(key: string, forMs: number, now: number = this.clock.now()): void {
    checkKey(key)
    numberOption('forMs', forMs, { min: 0, infinite: true })
    this.blocks.set(key, now + forMs, now)
  }

  policies(): readonly LimitPolicy[] {
    return [{ name: this.name, quota: this.limit, windowMs: undefined }]
  }

  update(partial: Partial<ConcurrencyOptions>): void {
    knownOptions('update of concurrency', partial, ['limit', 'retryAfterMs'])
    const limit = limitOption(partial.limit ?? this.limit)
    const retryAfterMs = retryOption(partial.retryAfterMs ?? this.retryAfterMs)
    this.limit = limit
    this.retryAfterMs = retryAfterMs
    announceSettings(this, partial)
  }

  snapshot(): ConcurrencySnapshot {
    return {
      settings: { limit: this.limit, retryAfterMs: this.retryAfterMs },
      allowed: this.allowed,
      denied: this.denied,
      held: this.total,
      keys: this.held.size,
      maxKeys: this.maxKeys,
      overflowed: this.overflowed,
    }
  }

  /** Counters and blocks only: what is held is held until it is released. */
  reset(): void {
    this.blocks.clear()
    this.allowed = 0
    this.denied = 0
    this.overflowed = 0
  }

  private decide(allowed: boolean, remaining: number, retryAfterMs: number, held: number): Decision {
    return {
      allowed,
      limit: this.limit,
      remaining,
      retryAfterMs,
      // What is held is held until it is released, and nobody knows when that will be.
      resetAfterMs: held === 0 ? 0 : Infinity,
      policy: this.name,
      source: 'local',
      shadowed: false,
      parts: undefined,
    }
  }
}

function limitOption(limit: number): number {
  return numberOption('limit', limit, { min: 0, max: 1e12, integer: true })
}

function retryOption(retryAfterMs: number): number {
  return numberOption('retryAfterMs', retryAfterMs, { min: 1 })
}
