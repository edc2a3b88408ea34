import type { Alarm, Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Ending, Watcher } from '../core/scope.ts'
import { type Deferred, defer } from './deferred.ts'

/** Somebody in a line. Who stops waiting leaves it at once, from wherever in it he stands. */
class Waiter<T> implements Watcher {
  readonly cost: number
  /** When the waiter joined. */
  readonly since: number
  readonly outcome: Deferred<T>
  private readonly line: WaitingLine<T>
  private readonly context: Context | undefined
  ahead: Waiter<T> | undefined
  behind: Waiter<T> | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(line: WaitingLine<T>, cost: number, since: number, context: Context | undefined) {
    this.cost = cost
    this.since = since
    this.outcome = defer()
    this.line = line
    this.context = context
    this.ahead = undefined
    this.behind = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (context !== undefined && !context.scope.endless) context.scope.watch(this)
  }

  /** @internal The waiter's call is over. */
  scopeEnded(_ending: Ending, reason: unknown): void {
    this.line.remove(this)
    this.outcome.reject(reason)
    this.line.onLeave()
  }

  /** Lets go of the waiter's call. */
  unwatch(): void {
    if (this.context !== undefined && !this.context.scope.endless) this.context.scope.unwatch(this)
  }
}

/**
 * A line of those who wait for their turn, first come first served, with one alarm for whoever is first. Whose turn
 * it is, and when, its owner decides.
 */
export class WaitingLine<T> implements Alarm {
  length: number
  /** The cost of all who wait. */
  cost: number
  first: Waiter<T> | undefined
  private last: Waiter<T> | undefined
  private readonly clock: Clock
  /** Called when it may be the turn of the first one. */
  readonly ring: () => void
  /** Called when somebody has stopped waiting. */
  readonly onLeave: () => void

  at: number
  /** Somebody waits for the answer: the process does not end before it comes. */
  readonly keepAlive: boolean
  next: Alarm | undefined
  previous: Alarm | undefined

  constructor(clock: Clock, owner: { readonly ring: () => void; readonly onLeave: () => void }) {
    this.length = 0
    this.cost = 0
    this.first = undefined
    this.last = undefined
    this.clock = clock
    this.ring = owner.ring
    this.onLeave = owner.onLeave
    this.at = 0
    this.keepAlive = true
    this.next = undefined
    this.previous = undefined
  }

  join(cost: number, since: number, context: Context | undefined): Promise<T> {
    const waiter = new Waiter<T>(this, cost, since, context)
    const { last } = this
    waiter.ahead = last
    if (last === undefined) this.first = waiter
    else last.behind = waiter
    this.last = waiter
    this.length++
    this.cost += cost
    return waiter.outcome.promise
  }

  /** It is the first one's turn. */
  serve(value: T): void {
    const { first } = this
    if (first === undefined) return
    first.unwatch()
    this.remove(first)
    first.outcome.resolve(value)
  }

  /** Rings for the first one at `at`, instead of whenever it would have. */
  wake(at: number): void {
    this.clock.disarm(this)
    this.clock.arm(this, at)
  }

  /** @internal */
  remove(waiter: Waiter<T>): void {
    const { ahead, behind } = waiter
    if (ahead === undefined) this.first = behind
    else ahead.behind = behind
    if (behind === undefined) this.last = ahead
    else behind.ahead = ahead
    this.length--
    this.cost -= waiter.cost
    if (this.length === 0) this.clock.disarm(this)
  }
}
