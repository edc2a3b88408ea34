import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import type { ContextKey } from './context-key.ts'
import type { Criticality } from './criticality.ts'
import { cancelled, deadlineExceeded } from './rejection.ts'
import { type Ending, type Expiry, Scope } from './scope.ts'

/** What a context says of its call, besides how long it may take. */
export interface ContextValues {
  /** @default 'critical' */
  readonly criticality?: Criticality
  /** The colour that routes and isolates: a customer, a cell, a test run. */
  readonly tenant?: string | undefined
  /** Who is calling: an address, a user, a service. */
  readonly caller?: string | undefined
  /** Which try this is, from 1. @default 1 */
  readonly attempt?: number
  /** Whether doing it twice is the same as doing it once. @default false */
  readonly idempotent?: boolean
}

interface Entry {
  readonly key: ContextKey<unknown>
  readonly value: unknown
  readonly rest: Entry | undefined
}

/**
 * What is known of one call: how long it may take, whether it is still wanted, how much it matters. Immutable;
 * `with` derives a new one, and whatever is derived ends no later than what it came from.
 */
export class Context {
  readonly criticality: Criticality
  readonly tenant: string | undefined
  readonly caller: string | undefined
  readonly attempt: number
  readonly idempotent: boolean
  private readonly entries: Entry | undefined
  /** The call's own scope, or the one further out while that is left out. */
  private made: Scope
  /** What the scope that is left out ends with, and when. */
  private expiry: Expiry | undefined
  private readonly end: number | undefined
  private standIn: StandIn | undefined

  /** @internal Use `createContext`. */
  constructor(
    scope: Scope,
    criticality: Criticality,
    tenant: string | undefined,
    caller: string | undefined,
    attempt: number,
    idempotent: boolean,
    entries: Entry | undefined,
    expiry: Expiry | undefined = undefined,
    end: number | undefined = undefined,
  ) {
    this.criticality = criticality
    this.tenant = tenant
    this.caller = caller
    this.attempt = attempt
    this.idempotent = idempotent
    this.entries = entries
    this.made = scope
    this.expiry = expiry
    this.end = end
    this.standIn = undefined
  }

  /** The call's life. Middleware that opens one of its own uses `openContext`. */
  get scope(): Scope {
    return this.expiry === undefined ? this.made : this.make()
  }

  get clock(): Clock {
    return this.made.clock
  }

  /** When the call must have ended, on `clock`'s scale; `Infinity` for never. */
  get deadline(): number {
    return this.expiry === undefined ? this.made.deadline : this.end!
  }

  /** Milliseconds left, never below 0; `Infinity` without a deadline. */
  get remainingMs(): number {
    const { deadline } = this
    return deadline === Infinity ? Infinity : Math.max(0, deadline - this.clock.now())
  }

  /**
   * Aborts when the call is cancelled or its deadline passes, with the error that the call then fails with; never
   * again once the call is over. Made on the first reading: unread, it costs nothing.
   */
  get signal(): AbortSignal {
    return this.scope.signal
  }

  /**
   * Whether the call has been cancelled or has timed out. Looks at the clock, so work that never lets the event
   * loop turn may ask it too. Costs far less than a `signal`.
   */
  get ended(): boolean {
    if (this.ending !== undefined) return true
    const { deadline } = this
    return deadline !== Infinity && this.clock.now() >= deadline
  }

  /** The value under `key`, or the key's default. */
  get<T>(key: ContextKey<T>): T {
    for (let entry = this.entries; entry !== undefined; entry = entry.rest) {
      if (entry.key === key) return entry.value as T
    }
    return key.defaultValue
  }

  /** The same call with some values, or with one typed key, changed. */
  with(values: ContextValues): Context
  with<T>(key: ContextKey<T>, value: T): Context
  with<T>(first: ContextValues | ContextKey<T>, value?: T): Context {
    return 'defaultValue' in first ? this.holding(first, value) : this.derive(first)
  }

  private holding(key: ContextKey<unknown>, value: unknown): Context {
    return new Context(
      this.scope,
      this.criticality,
      this.tenant,
      this.caller,
      this.attempt,
      this.idempotent,
      { key, value, rest: this.entries },
    )
  }

  /** @internal The same call under a scope of its own; with an `end`, under one below it that is left out. */
  within(scope: Scope, expiry?: Expiry, end?: number): Context {
    return new Context(
      scope,
      this.criticality,
      this.tenant,
      this.caller,
      this.attempt,
      this.idempotent,
      this.entries,
      expiry,
      end,
    )
  }

  /** @internal The same call, which ends at `end`, before what it is part of. Its scope is left out until somebody asks for it. */
  until(end: number, expiry: Expiry): Context {
    const { scope } = this
    if (scope.steady) return this.within(scope, expiry, end)
    return this.within(new Scope(scope.clock, scope, end, expiry, undefined))
  }

  /** @internal The same call under a scope of its own, as its caller's, with one typed key changed. */
  opening<T>(scope: Scope, caller: string | undefined, key: ContextKey<T>, value: T): Context {
    return new Context(scope, this.criticality, this.tenant, caller, this.attempt, this.idempotent, {
      key,
      value,
      rest: this.entries,
    })
  }

  /** @internal */
  derive(values: ContextValues, scope: Scope = this.scope): Context {
    return new Context(
      scope,
      values.criticality ?? this.criticality,
      'tenant' in values ? values.tenant : this.tenant,
      'caller' in values ? values.caller : this.caller,
      values.attempt ?? this.attempt,
      values.idempotent ?? this.idempotent,
      this.entries,
    )
  }

  /** @internal What `scope.ending` says, without making a scope for it. */
  get ending(): Ending | undefined {
    // Whoever stands in for it would have been told.
    return this.expiry !== undefined && this.standIn?.standsFor !== undefined ? undefined : this.scope.ending
  }

  /** @internal The innermost scope that there is. */
  get innermost(): Scope {
    return this.made
  }

  /** @internal Whether its scope is left out, nobody stands in for it, and it would be right below `scope`. */
  unmadeBelow(scope: Scope): boolean {
    return this.expiry !== undefined && this.standIn === undefined && this.made === scope
  }

  /** @internal Whether it was derived from the context whose scope is `scope`. */
  isPartOf(scope: Scope): boolean {
    return this.made === scope || this.made.isBelow(scope)
  }

  /** @internal */
  boundedBy(standIn: StandIn): void {
    this.standIn = standIn
  }

  private make(): Scope {
    const { made, standIn } = this
    const scope = new Scope(made.clock, made, this.end!, this.expiry, undefined)
    this.made = scope
    this.expiry = undefined
    this.standIn = undefined
    standIn?.giveWay(scope)
    return scope
  }
}

/** What bounds a call in place of a scope that is left out. */
export interface StandIn {
  /** What gave the call its end; `undefined` where the call does not go by it any more. */
  readonly standsFor: unknown
  /** The scope has been made, and is to be as if it had been there all the time. */
  giveWay(scope: Scope): void
}

export interface ContextOptions extends ContextValues {
  /** What the call has from now on. It shrinks what a parent leaves, never grows it. @default no limit */
  readonly timeoutMs?: number | undefined
  /** Cancels the call when it aborts. @default none */
  readonly signal?: AbortSignal | undefined
  /** The call that this one is part of. @default none */
  readonly parent?: Context | undefined
  /** @default the parent's, or the process's own */
  readonly clock?: Clock | undefined
}

/** A context together with the right to end it. Whoever opens one calls `close` when the call is over. */
export interface OpenContext {
  readonly context: Context
  /** Ends the call and everything it started. Does nothing once it has ended. */
  cancel(reason?: unknown): void
  /**
   * The call is over: lets go of the parent, the timer and the signal, which does not abort any more. Ends nothing:
   * calls that were made with the context and still run keep its bounds.
   */
  close(): void
}

/** A call that nobody bounds and nobody cancels. */
export const rootContext: Context = new Context(
  Scope.endless(systemClock),
  'critical',
  undefined,
  undefined,
  1,
  false,
  undefined,
)

/**
 * A context for a new call. Nobody has to close it: each call that is made with it lets go, at its end, of all it
 * held on to. Only a `signal` that is read outside of every call stays hooked up until it aborts; work that needs
 * one and may be over sooner opens its context with `openContext`, and closes it.
 */
export function createContext(options: ContextOptions = {}): Context {
  return open(options, true).context
}

/** A context that its owner can cancel: for a transport, a hedge, a piece of work of your own. */
export function openContext(options: ContextOptions = {}): OpenContext {
  const { scope, context } = open(options, false)
  return {
    context,
    cancel: (reason = cancelled('context')) => scope.end('cancelled', reason),
    close: () => scope.close(),
  }
}

function open(options: ContextOptions, loose: boolean): { scope: Scope; context: Context } {
  const { signal, timeoutMs = Infinity } = options
  const parent = options.parent ?? rootContext
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0)) {
    throw new RangeError(`Expected \`timeoutMs\` to be a number from 0 up, got ${String(timeoutMs)}`)
  }
  const clock = options.clock ?? parent.clock
  if (clock !== parent.clock && options.parent !== undefined) {
    throw new TypeError('Expected no `clock` beside `parent`: a call and its parts share one clock')
  }
  let { scope } = parent
  const bounds = signal !== undefined || timeoutMs !== Infinity || clock !== scope.clock
  if (bounds || !loose) {
    const deadline = Math.min(scope.deadline, timeoutMs === Infinity ? Infinity : clock.now() + timeoutMs)
    scope = new Scope(clock, options.parent?.scope, deadline, timedOut, signal, loose)
  }
  return { scope, context: parent.derive(options, scope) }
}

const timedOut: Expiry = () => deadlineExceeded('context', true)
