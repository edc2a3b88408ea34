import type { Alarm, Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Ending, Watcher } from '../core/scope.ts'
import { type Deferred, defer } from './deferred.ts'
import { type InLine, Line } from './line.ts'

/** Somebody in a line. Who stops waiting leaves it at once, from wherever in it he stands. */
class Waiter<T> implements Watcher, InLine<Waiter<T>> {
  readonly cost: number
  /** When the waiter joined. */
  readonly since: number
  readonly outcome: Deferred<T>
  private readonly owner: WaitingLine<T>
  private readonly context: Context | undefined
  line: Line<Waiter<T>> | undefined
  ahead: Waiter<T> | undefined
  behind: Waiter<T> | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(owner: WaitingLine<T>, cost: number, since: number, context: Context | undefined) {
    this.cost = cost
    this.since = since
    this.outcome = defer()
    this.owner = owner
    this.context = context
    this.line = undefined
    this.ahead = undefined
    this.behind = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (context !== undefined && !context.scope.endless) context.scope.watch(this)
  }

  /** @internal The waiter's call is over. */
  scopeEnded(_ending: Ending, reason: unknown): void {
    this.owner.remove(this)
    this.outcome.reject(reason)
    this.owner.onLeave()
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
  /** The cost of all who wait. */
  cost: number
  private readonly line: Line<Waiter<T>>
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
    this.cost = 0
    this.line = new Line()
    this.clock = clock
    this.ring = owner.ring
    this.onLeave = owner.onLeave
    this.at = 0
    this.keepAlive = true
    this.next = undefined
    this.previous = undefined
  }

  get length(): number {
    return this.line.length
  }

  get first(): Waiter<T> | undefined {
    return this.line.first
  }

  join(cost: number, since: number, context: Context | undefined): Promise<T> {
    const waiter = new Waiter<T>(this, cost, since, context)
    this.line.push(waiter)
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
    if (!this.line.remove(waiter)) return
    this.cost -= waiter.cost
    if (this.line.length === 0) this.clock.disarm(this)
  }
}
