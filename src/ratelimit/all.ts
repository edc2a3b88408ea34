/**
 * Several limits at once, all or nothing: a call is granted if each of them grants it, and then each of them counts
 * it. A call that one of them denies costs nothing on the others, so a caller who runs into his own limit cannot
 * use up the one that he shares.
 *
 * All are asked before any is charged. Nothing else can run in between, and waiting turns no grant into a denial, so
 * there is never anything to undo.
 */
import type { Clock } from '../core/clock.ts'
import { knownOptions } from '../core/options.ts'
import type { Decision, Limiter, LimitPolicy } from './limiter.ts'

export interface AllSnapshot {
  readonly allowed: number
  readonly denied: number
  /** What each of the limits has to say, by name. */
  readonly limits: Readonly<Record<string, object>>
}

/** A limit made of several. To give one of them another key than the others, use `keyedBy`. */
export function all(...limiters: readonly Limiter[]): Limiter<object, AllSnapshot> {
  if (limiters.length === 0) throw new TypeError('Expected all() to be given at least one limiter')
  const names = new Set<string>()
  for (const limiter of limiters) {
    if (limiter?.immediate !== true) {
      throw new TypeError('Expected every argument of all() to be a limiter that answers at once')
    }
    for (const { name } of limiter.policies()) {
      if (names.has(name)) {
        throw new TypeError(
          `Expected the limits of all() to have different names, got two called '${name}': a refusal could not say which of them it was, and one that is given twice would be charged twice`,
        )
      }
      names.add(name)
    }
  }
  return new All(limiters)
}

class All implements Limiter<object, AllSnapshot> {
  readonly immediate: true
  readonly clock: Clock
  readonly kind: string
  readonly name: string
  readonly release?: (key: string, cost: number, now?: number) => void
  private readonly limiters: readonly Limiter[]
  private allowed: number
  private denied: number

  constructor(limiters: readonly Limiter[]) {
    this.immediate = true
    this.clock = limiters[0]!.clock
    this.kind = 'all'
    this.name = limiters.map(limiter => limiter.name).join('+')
    this.limiters = limiters
    this.allowed = 0
    this.denied = 0
    const holding = limiters.filter(limiter => limiter.release !== undefined)
    if (holding.length > 0) {
      this.release = (key, cost, now) => {
        for (const limiter of holding) limiter.release!(key, cost, now)
      }
    }
  }

  take(key: string, cost?: number, now?: number): Decision {
    const asked = this.peek(key, cost, now)
    if (!asked.allowed) {
      this.denied++
      return asked
    }
    this.allowed++
    return merge(this.limiters.map(limiter => limiter.take(key, cost, now)))
  }

  peek(key: string, cost?: number, now?: number): Decision {
    return merge(this.limiters.map(limiter => limiter.peek(key, cost, now)))
  }

  refund(key: string, cost: number, now?: number, takenAt?: number): void {
    for (const limiter of this.limiters) limiter.refund(key, cost, now, takenAt)
  }

  charge(key: string, cost: number, now?: number): void {
    for (const limiter of this.limiters) limiter.charge(key, cost, now)
  }

  /** One is enough: what it denies, none is charged for. */
  block(key: string, forMs: number, now?: number): void {
    this.limiters[0]!.block(key, forMs, now)
  }

  policies(): readonly LimitPolicy[] {
    return this.limiters.flatMap(limiter => limiter.policies())
  }

  /** There is nothing to set here: each of the limits has settings of its own. */
  update(partial: object): void {
    knownOptions('update of all', partial, [])
  }

  snapshot(): AllSnapshot {
    const limits = Object.fromEntries(this.limiters.map(limiter => [limiter.name, limiter.snapshot()]))
    return { allowed: this.allowed, denied: this.denied, limits }
  }

  reset(): void {
    this.allowed = 0
    this.denied = 0
    for (const limiter of this.limiters) limiter.reset()
  }
}

/**
 * What several limits say together: granted if all of them grant. After the longest of the waits none denies any
 * more, since none that grants begins to deny by waiting.
 */
export function merge(parts: readonly Decision[]): Decision {
  let worst = parts[0]!
  let remaining = Infinity
  let resetAfterMs = 0
  let shadowed = false
  for (const part of parts) {
    const harder = part.allowed ? worst.allowed && part.remaining < worst.remaining : true
    if (harder && part.retryAfterMs >= worst.retryAfterMs) worst = part
    remaining = Math.min(remaining, part.remaining)
    resetAfterMs = Math.max(resetAfterMs, part.resetAfterMs)
    shadowed ||= part.shadowed
  }
  const { allowed, limit, retryAfterMs, policy, source } = worst
  return { allowed, limit, remaining, retryAfterMs, resetAfterMs, policy, source, shadowed, parts }
}
