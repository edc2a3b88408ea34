import type { Alarm, Clock } from './clock.ts'

/** Why a scope ended before its call did: its time ran out, or nobody waits for the answer any more. */
export type Ending = 'timeout' | 'cancelled'

/** Told once, when a scope ends. The links belong to the scope. */
export interface Watcher {
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  scopeEnded(ending: Ending, reason: unknown): void
}

/** Makes the error that a scope ends with when its own deadline passes. */
export type Expiry = () => unknown

/**
 * The life of a call: when it must end, who is told, and an `AbortSignal` if anybody asks for one.
 *
 * A scope costs nothing that it is not asked for. It hangs in its parent, listens to its source and arms its
 * alarm only while somebody watches it, and lets go of all three when the last watcher leaves. The controller
 * behind `signal` is made on the first reading; from then on the scope stays attached until it ends or is closed.
 */
export class Scope implements Alarm, Watcher {
  /** A scope that nothing can end, so that nobody need watch it. */
  static endless(clock: Clock): Scope {
    return new Scope(clock, undefined, Infinity, undefined, undefined, true)
  }

  readonly clock: Clock
  readonly endless: boolean
  readonly parent: Scope | undefined
  /** On the clock's scale; `Infinity` for none. Never later than the parent's. */
  deadline: number
  /** Set once the scope has ended. */
  ending: Ending | undefined
  /** The error it ended with. */
  reason: unknown
  private readonly expiry: Expiry | undefined
  private readonly source: AbortSignal | undefined
  private controller: AbortController | undefined
  private watchers: Watcher | undefined
  private attached: boolean
  private closed: boolean

  // The links of an alarm in its clock and of a watcher in its parent.
  readonly keepAlive: boolean
  at: number
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    clock: Clock,
    parent: Scope | undefined,
    deadline: number,
    expiry: Expiry | undefined,
    source: AbortSignal | undefined,
    endless: boolean = false,
  ) {
    this.clock = clock
    this.endless = endless
    this.parent = parent
    this.deadline = deadline
    this.ending = undefined
    this.reason = undefined
    this.expiry = expiry
    this.source = source
    this.controller = undefined
    this.watchers = undefined
    this.attached = false
    this.closed = false
    // Somebody waits for a call that is watched, so its timeout must come.
    this.keepAlive = true
    this.at = 0
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (parent !== undefined && parent.ending !== undefined) this.end(parent.ending, parent.reason)
    else if (source?.aborted) this.end('cancelled', source.reason)
  }

  /** Made on the first reading. Aborts when the scope ends, with the error it ended with. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      if (this.source !== undefined && this.deadline === Infinity && this.parent === undefined)
        return this.source
      this.controller = new AbortController()
      if (this.ending !== undefined) this.controller.abort(this.reason)
      else if (!this.closed) this.attach()
    }
    return this.controller.signal
  }

  /** Adds a watcher to a scope that has not ended. The last to come is the first to be told. */
  watch(watcher: Watcher): void {
    const first = this.watchers
    watcher.nextWatcher = first
    if (first !== undefined) first.previousWatcher = watcher
    this.watchers = watcher
    if (!this.attached) this.attach()
  }

  /** Removes a watcher; does nothing for one that has been told already. */
  unwatch(watcher: Watcher): void {
    const { nextWatcher, previousWatcher } = watcher
    if (previousWatcher !== undefined) previousWatcher.nextWatcher = nextWatcher
    else if (this.watchers === watcher) this.watchers = nextWatcher
    else return
    if (nextWatcher !== undefined) nextWatcher.previousWatcher = previousWatcher
    watcher.nextWatcher = undefined
    watcher.previousWatcher = undefined
    if (this.attached && this.watchers === undefined && (this.controller === undefined || this.closed)) {
      this.detach()
    }
  }

  /** Ends the scope and everything below it, innermost first. Only the first ending counts. */
  end(ending: Ending, reason: unknown): void {
    if (this.ending !== undefined) return
    this.ending = ending
    this.reason = reason
    if (this.attached) this.detach()
    for (let watcher = this.watchers; watcher !== undefined; watcher = this.watchers) {
      this.watchers = watcher.nextWatcher
      if (this.watchers !== undefined) this.watchers.previousWatcher = undefined
      watcher.nextWatcher = undefined
      watcher.scopeEnded(ending, reason)
    }
    this.controller?.abort(reason)
  }

  /**
   * Moves the deadline of a scope without a parent to a later time: somebody more patient has joined the work.
   * What was narrowed from the scope before stays as it is.
   */
  extend(deadline: number): void {
    if (this.ending !== undefined || this.parent !== undefined || deadline <= this.deadline) return
    this.deadline = deadline
    if (!this.attached) return
    this.clock.disarm(this)
    if (deadline < Infinity) this.clock.arm(this, deadline)
  }

  /** The call is over: a signal that was handed out no longer keeps the scope attached. */
  close(): void {
    this.closed = true
    if (this.attached && this.watchers === undefined) this.detach()
  }

  /** @internal The parent ended. */
  scopeEnded(ending: Ending, reason: unknown): void {
    this.end(ending, reason)
  }

  /** @internal The deadline has passed. */
  ring(): void {
    this.end('timeout', this.expiry?.())
  }

  /** @internal The source signal aborted. */
  handleEvent(): void {
    this.end('cancelled', this.source?.reason)
  }

  private attach(): void {
    this.attached = true
    const { parent } = this
    if (parent !== undefined) parent.watch(this)
    if (this.deadline < (parent === undefined ? Infinity : parent.deadline))
      this.clock.arm(this, this.deadline)
    if (this.source !== undefined) this.source.addEventListener('abort', this)
  }

  private detach(): void {
    this.attached = false
    if (this.parent !== undefined) this.parent.unwatch(this)
    this.clock.disarm(this)
    if (this.source !== undefined) this.source.removeEventListener('abort', this)
  }
}
