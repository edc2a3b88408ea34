import type { Alarm, Clock } from './clock.ts'
import { type Follower, follow, unfollow } from './source.ts'
import { type Ending, link, relink, unlink, type Watched, type Watcher } from './watcher.ts'

export type { Ending, Watcher } from './watcher.ts'

/** Makes the error that a scope ends with when its own deadline passes. */
export type Expiry = () => unknown

/**
 * The life of a call: when it must end, who is told, and an `AbortSignal` if anybody asks for one.
 *
 * A scope costs nothing that it is not asked for. It hangs in its parent, listens to its source and arms its
 * alarm only while somebody watches it, and lets go of all three when the last watcher leaves. The controller
 * behind `signal` is made on the first reading; from then on the scope stays attached until it ends or is closed.
 *
 * Nothing here calls itself, because scopes may nest deeper than the stack.
 */
export class Scope implements Alarm, Watcher, Watched, Follower {
  /** A scope that nothing can end, so that nobody need watch it. */
  static endless(clock: Clock): Scope {
    return new Scope(clock, undefined, Infinity, undefined, undefined, true)
  }

  readonly clock: Clock
  /** Nothing can end it: it has no deadline, no source, no parent and no owner. */
  readonly endless: boolean
  /**
   * Nobody will close it, and it may hold on to something. A call made with it has a scope of its own below it, which ends with the call, so that a
   * signal read in the call is let go of after it.
   */
  readonly loose: boolean
  readonly parent: Scope | undefined
  /** What it hangs in while somebody watches it: the parent, unless nothing can end that one. */
  private readonly holder: Scope | undefined
  /** On the clock's scale; `Infinity` for none. Never later than the parent's. */
  deadline: number
  /** The error it ended with. */
  reason: unknown
  private ended: Ending | undefined
  private readonly expiry: Expiry | undefined
  private readonly source: AbortSignal | undefined
  private controller: AbortController | undefined
  /** @internal */
  watchers: Watcher | undefined
  private attached: boolean
  private closed: boolean

  // The links of an alarm in its clock and of a watcher in its parent.
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
    loose: boolean = false,
  ) {
    this.clock = clock
    this.endless = loose && source === undefined && parent === undefined && deadline === Infinity
    this.loose = loose && !this.endless
    this.parent = parent
    this.holder = parent === undefined || parent.endless ? undefined : parent
    this.deadline = deadline
    this.reason = undefined
    this.ended = undefined
    this.expiry = expiry
    this.source = source
    this.controller = undefined
    this.watchers = undefined
    this.attached = this.endless
    this.closed = false
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  /** Somebody waits for a call that is watched, so its timeout must come. */
  get keepAlive(): boolean {
    return true
  }

  /** It is armed for its deadline and for no other time. */
  get at(): number {
    return this.deadline
  }

  set at(_: number) {}

  /** Set once the scope has ended. */
  get ending(): Ending | undefined {
    if (this.ended === undefined && !this.attached && !this.told) this.look()
    return this.ended
  }

  /** Made on the first reading. Aborts when the scope ends, with the error it ended with. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      if (this.borrows) return this.source!
      // One signal for all calls that nothing ends would collect, for ever, the listeners that others forget on it.
      if (this.endless) return new AbortController().signal
      this.controller = new AbortController()
      if (this.clock.now() >= this.deadline) this.expire()
      if (this.ending !== undefined) this.controller.abort(this.reason)
      else if (!this.closed && !this.attached) this.attach()
    }
    return this.controller.signal
  }

  /** @internal Whether a call that it bounds is still going on, or its signal still waits for its end. */
  get busy(): boolean {
    return this.watchers !== undefined || (this.attached && !this.endless)
  }

  /** @internal Whether it hears of its end at once, for it follows no signal, which may have aborted a moment before it says so. */
  get steady(): boolean {
    return this.source === undefined
  }

  /** Whether its source is all that can end it, so that the source's signal will do. */
  private get borrows(): boolean {
    return this.loose && this.source !== undefined && this.parent === undefined && this.deadline === Infinity
  }

  /** Whether nothing can have ended it unseen: it has no source, and nothing further out that could have ended so. */
  private get told(): boolean {
    const { source, holder } = this
    return source === undefined && (holder === undefined || (holder.attached && holder.source === undefined))
  }

  /** Adds a watcher to a scope that has not ended. The last to come is the first to be told. */
  watch(watcher: Watcher): void {
    link(this, watcher)
    if (!this.attached) this.attach()
  }

  /** Removes a watcher; does nothing for one that has been told already. */
  unwatch(watcher: Watcher): void {
    if (unlink(this, watcher)) this.release()
  }

  /** Whether it is part of `outer`. */
  isBelow(outer: Scope): boolean {
    let scope = this.parent
    while (scope !== outer && scope !== undefined) scope = scope.parent
    return scope === outer
  }

  /** Moves a watcher to a scope further in. */
  handOver(watcher: Watcher, inner: Scope): void {
    const left = unlink(this, watcher)
    inner.watch(watcher)
    if (left) this.release()
  }

  /** @internal Makes one of the watchers the last that has come. */
  requeue(watcher: Watcher): void {
    if (this.endless || this.watchers === watcher) return
    unlink(this, watcher)
    link(this, watcher)
  }

  /** @internal Takes the place of somebody who hung in the parent and in the clock instead, and is watched by it. */
  replace(standIn: Watcher & Alarm): void {
    const { clock, holder, deadline } = this
    this.attached = true
    if (clock.swap !== undefined) clock.swap(standIn, this)
    else {
      clock.disarm(standIn)
      clock.arm(this, deadline)
    }
    if (holder !== undefined) relink(holder, standIn, this)
    link(this, standIn)
  }

  /**
   * Ends the scope and everything below it: calls that began within others before them, the scope's own signal last.
   * Only the first ending counts. Whoever is told may end other scopes, this one's parents among them: nobody is
   * told twice or left out, and the order stays.
   */
  end(ending: Ending, reason: unknown): void {
    if (this.ending === undefined && !this.endless) this.tell(ending, reason)
  }

  /**
   * Moves the deadline of a scope without a parent to a later time: somebody more patient has joined the work.
   * What was narrowed from the scope before stays as it is.
   */
  extend(deadline: number): void {
    if (this.ending !== undefined || this.parent !== undefined || deadline <= this.deadline) return
    const before = this.deadline
    // First, because the deadline is also the time that it is armed for.
    if (this.attached) this.clock.disarm(this)
    this.deadline = deadline
    if (!this.attached) return
    if (deadline < Infinity) this.clock.arm(this, deadline)
    // Those that had as long as this one left it to this one to tell them when.
    for (let below = this.watchers; below !== undefined; below = below.nextWatcher) {
      if (below instanceof Scope && below.deadline === before) this.clock.arm(below, before)
    }
  }

  /**
   * The call is over: the scope lets go of its parent, its timer and its source as soon as nothing below it needs
   * them, and a signal that was handed out will not abort any more.
   */
  close(): void {
    // One that is ending has its signal still to abort.
    if (this.ended !== undefined) return
    this.closed = true
    if (this.watchers === undefined) this.release()
  }

  /** @internal Scopes below one that ends are ended by its own loop. */
  scopeEnded(ending: Ending, reason: unknown): void {
    this.end(ending, reason)
  }

  /** @internal The deadline has passed. */
  ring(): void {
    this.end('timeout', this.expiry?.())
  }

  /** @internal The source signal aborted. */
  sourceAborted(reason: unknown): void {
    this.end('cancelled', reason)
  }

  /** While nobody watches nobody is told: finds out whether a source or a scope further out has ended meanwhile. */
  private look(): void {
    for (let scope: Scope | undefined = this; scope !== undefined; scope = scope.holder) {
      if (scope.ended === undefined && scope.source?.aborted) scope.tell('cancelled', scope.source.reason)
      if (scope.ended !== undefined && scope !== this) this.tell(scope.ended, scope.reason)
      if (scope.ended !== undefined || scope.attached) return
    }
  }

  /** The deadline has passed, but nobody watched then, so no alarm was armed for it, or it has still to ring. */
  private expire(): void {
    let owner: Scope = this
    while (owner.parent !== undefined && owner.parent.deadline <= this.deadline) owner = owner.parent
    owner.ring()
  }

  private tell(ending: Ending, reason: unknown): void {
    this.mark(ending, reason)
    let scope: Scope = this
    for (;;) {
      const watcher = scope.watchers
      if (watcher instanceof Scope) {
        watcher.mark(scope.ended!, scope.reason)
        scope = watcher
      } else if (watcher !== undefined) {
        unlink(scope, watcher)
        watcher.scopeEnded(scope.ended!, scope.reason)
      } else {
        if (!scope.closed) scope.controller?.abort(scope.reason)
        const { parent } = scope
        if (parent !== undefined && unlink(parent, scope)) parent.release()
        if (scope === this) return
        scope = parent!
      }
    }
  }

  /** One that has ended stays in its place in the parent until everything below it has been told. */
  private mark(ending: Ending, reason: unknown): void {
    if (this.ended !== undefined) return
    this.ended = ending
    this.reason = reason
    if (this.attached) this.unhook()
  }

  /** Hooks the scope into what can end it, and every scope further out that is not hooked in yet. */
  private attach(): void {
    for (let scope: Scope | undefined = this; scope !== undefined && !scope.attached; scope = scope.holder) {
      scope.attached = true
      const { holder, source, deadline } = scope
      if (source !== undefined) follow(source, scope)
      if (deadline < (holder === undefined ? Infinity : holder.deadline)) scope.clock.arm(scope, deadline)
      if (holder !== undefined) link(holder, scope)
    }
  }

  /** Lets go if nobody needs the scope attached, and likewise further out. */
  private release(): void {
    for (
      let scope: Scope | undefined = this;
      scope?.attached && scope.watchers === undefined;
      scope = scope.holder
    ) {
      if (scope.endless || (scope.controller !== undefined && !scope.closed)) return
      scope.unhook()
      if (scope.holder !== undefined) unlink(scope.holder, scope)
    }
  }

  /** What `attach` did, but for the place in the parent. */
  private unhook(): void {
    this.attached = false
    this.clock.disarm(this)
    if (this.source !== undefined) unfollow(this.source, this)
  }
}
