import type { Alarm, Clock } from '../../core/clock.ts'
import type { Scope, Watcher } from '../../core/scope.ts'
import type { Bucket } from './limits.ts'

/** What one process holds of one key's limit: tokens that Redis has charged and that may be spent here. */
export class Lease {
  /** The keys in Redis. */
  readonly keys: readonly string[]
  tokens: number
  /** Tokens are spendable until here, on this process's clock; each answer of Redis renews it. */
  expiresAt: number
  /** Whether Redis has been asked for more and has not answered. */
  asking: boolean
  /** Returns that Redis has not confirmed: what is on its way back is still held. */
  returning: number
  /** Calls that wait for tokens, the oldest first. */
  waiting: LeaseWait[]
  /** With fewer tokens than this, more are asked for. */
  lowWater: number
  /** Nothing is granted or asked for until here. */
  pausedUntil: number
  blockedUntil: number
  /** When it was last spent from, or asked in vain. */
  usedAt: number
  /** What was taken of the bucket when Redis was last asked, at `debtAt`. */
  private debt: number
  private debtAt: number
  private rate: number
  private spent: number
  private since: number

  constructor(keys: readonly string[], now: number) {
    this.keys = keys
    this.tokens = 0
    this.expiresAt = now
    this.asking = false
    this.returning = 0
    this.waiting = []
    this.lowWater = 0
    this.pausedUntil = Number.NEGATIVE_INFINITY
    this.blockedUntil = Number.NEGATIVE_INFINITY
    this.usedAt = now
    this.debt = 0
    this.debtAt = now
    this.rate = 0
    this.spent = 0
    this.since = now
  }

  /** Tokens that can be spent now. */
  left(now: number): number {
    return now < this.expiresAt ? this.tokens : 0
  }

  spend(cost: number, now: number): void {
    this.tokens -= cost
    this.spent += cost
    this.usedAt = now
  }

  /** How many tokens the next `forMs` will need, if they are like the time since this was last asked. */
  demand(forMs: number, now: number): number {
    const ms = Math.max(1, now - this.since)
    const latest = this.spent / ms
    // Quick to grow, slow to shrink: too small a lease costs a round trip, too large a one comes back.
    this.rate = latest > this.rate ? latest : this.rate + (latest - this.rate) * Math.min(1, ms / forMs) * 0.5
    this.spent = 0
    this.since = now
    return Math.ceil(this.rate * forMs)
  }

  /** What Redis said of the bucket, when asked at `at` or later. */
  learn(debt: number, at: number): void {
    this.debt = debt
    this.debtAt = at
  }

  /** For how long Redis would deny `cost`, as far as is known here: others can only make it longer. */
  waitMs(cost: number, limit: number, { emission, parts }: Bucket, now: number): number {
    const missing = this.debt + (cost - this.left(now) - limit) * emission
    const wait = Math.ceil(missing / parts) / 1000 - (now - this.debtAt)
    return Math.max(0, wait, this.pausedUntil - now, this.blockedUntil - now)
  }

  /** What could be granted now if nobody else had taken anything meanwhile. */
  room(limit: number, { emission, parts }: Bucket, now: number): number {
    const debt = Math.max(0, this.debt - (now - this.debtAt) * 1000 * parts)
    return Math.min(limit, this.left(now) + Math.max(0, Math.floor(limit - debt / emission)))
  }

  resetMs({ parts }: Bucket, now: number): number {
    return Math.max(0, this.debt / parts / 1000 - (now - this.debtAt))
  }
}

/** A call that waits for tokens. It ends once: with tokens, without, or together with its call. */
export class LeaseWait implements Alarm, Watcher {
  readonly cost: number
  readonly keepAlive: boolean
  at: number
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  over: boolean
  private readonly clock: Clock
  private readonly scope: Scope
  private readonly resolve: (outcome: 'granted' | 'denied' | 'away') => void
  private readonly reject: (error: unknown) => void

  constructor(
    cost: number,
    clock: Clock,
    scope: Scope,
    until: number,
    resolve: (outcome: 'granted' | 'denied' | 'away') => void,
    reject: (error: unknown) => void,
  ) {
    this.cost = cost
    this.keepAlive = true
    this.at = 0
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    this.over = false
    this.clock = clock
    this.scope = scope
    this.resolve = resolve
    this.reject = reject
    clock.arm(this, until)
    if (!scope.endless) scope.watch(this)
  }

  settle(outcome: 'granted' | 'denied' | 'away'): void {
    if (this.over) return
    this.close()
    this.resolve(outcome)
  }

  /** @internal It has waited for as long as a call may wait for Redis; see `Ask` for the immediate. */
  ring(): void {
    setImmediate(() => this.settle('away'))
  }

  /** @internal Nobody waits any more: tokens go to the next in line. */
  scopeEnded(_ending: unknown, reason: unknown): void {
    this.close()
    this.reject(reason)
  }

  private close(): void {
    this.over = true
    this.clock.disarm(this)
    if (!this.scope.endless) this.scope.unwatch(this)
  }
}
