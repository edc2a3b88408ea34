/**
 * An answer even when the call has none, in this order:
 *
 *   fresh     what the call brings
 *   stale     the copy of an earlier answer, if it is not older than maxStaleMs
 *   default   something that is always at hand, or that can be made without the dependency that failed
 *   error     the one that the call failed with
 */
import { callWithin } from '../core/ambient.ts'
import { type DegradedPart, markDegraded } from '../core/answer-fields.ts'
import { layer } from '../core/chain.ts'
import { type Context, openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { isRejection, Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { endedAlready } from '../internal/ended.ts'
import { type Operated, operated } from '../internal/operated.ts'
import { overlay } from '../internal/overlay.ts'
import { attempt, settleWithin } from '../internal/settle-within.ts'
import type { CopyStore } from './copy-store.ts'
import { degraded } from './events.ts'
import { attachFallbackError } from './fallback-error.ts'
import { Refresher } from './refresher.ts'
import { StoreAccess, type StoreAccessOptions } from './store-access.ts'
import { calledFor, isTrouble, type Trigger } from './trigger.ts'

/** Makes an answer without the dependency that failed. */
export type MakeDefault<Req, Res> = (request: Req, context: Context, error: unknown) => Res | Promise<Res>

interface Limits {
  /** A copy older than this does not stand in. @default 600000 */
  readonly maxStaleMs?: number
  /** How long making a default may take; what is left of the deadline bounds it too. @default 50 */
  readonly timeoutMs?: number
  /** How many defaults may be in the making at a time. @default 10 */
  readonly limit?: number
  /**
   * When a copy stood in for a call that took too long: how long the same call may take in the background, so that
   * a dependency slower than its callers' patience still brings new copies. One for each key at a time. @default 0, none
   */
  readonly refreshMs?: number
}

export interface FallbackOptions<Req = unknown, Res = unknown> extends Limits, StoreAccessOptions {
  /** Where copies of answers are kept; they are only read when the call fails. @default none */
  readonly store?: CopyStore
  /** With a `store`: calls with the same key have the same answer. `undefined` for one that is not kept. */
  readonly key?: (request: Req, context: Context) => string | undefined
  /** The answer when there is no copy, or a function that makes it. @default none */
  readonly default?: Res | MakeDefault<Req, Res>
  /** Which failures call for a stand-in. @default refusals, timeouts, faults over there; not what the request is to blame for */
  readonly when?: Trigger
  /** Whether the call is not to be made at all: see `switches`. @default never */
  readonly off?: (request: Req, context: Context) => boolean
  /** Names the policy, and the part in `x-degraded`. @default 'fallback' */
  readonly name?: string
}

export interface FallbackSnapshot extends Required<Limits> {
  readonly fresh: number
  readonly stale: number
  readonly default: number
  /** Calls that failed and got no stand-in. */
  readonly failed: number
  /** Calls that were not made because they are switched off. They count above too, by what was given. */
  readonly off: number
  /** Defaults in the making. */
  readonly active: number
  readonly refreshing: number
  readonly storeFailures: number
}

export interface Fallback<Req = unknown, Res = unknown>
  extends Operated<Limits, FallbackSnapshot, Req, Res> {}

const limits = ['maxStaleMs', 'timeoutMs', 'limit', 'refreshMs'] as const
const MAX_REFRESHES = 10

/**
 * Puts a copy or a default in place of an answer that could not be had, and says so: in `x-degraded`, in the
 * `degraded` event and in `snapshot()`. Stands outside everything that may fail, the deadline of the call included,
 * for there must be time left when that has passed.
 *
 * Exactly one of the four sources answers each call. The error of a call that gets no stand-in is the one it failed
 * with; that of a default which failed too is attached to it (`fallbackError`).
 */
export function fallback<Req = unknown, Res = unknown>(
  options: FallbackOptions<Req, Res>,
): Fallback<Req, Res> {
  const policy = register(new StandIns(options))
  const protection = layer<Req, Res>(
    { kind: 'fallback', name: policy.name, repeats: true },
    <Q extends Req, S extends Res>(next: Handler<Q, S>): Handler<Q, S> =>
      (request, context) =>
        policy.call(next, request, context) as Promise<S>,
  )
  return operated(protection, policy)
}

class StandIns<Req, Res> implements Mechanism<Limits, FallbackSnapshot> {
  readonly kind: string = 'fallback'
  readonly name: string
  private readonly access: StoreAccess | undefined
  private readonly key: (request: Req, context: Context) => string | undefined
  private readonly hasDefault: boolean
  private readonly defaultAnswer: Res | MakeDefault<Req, Res> | undefined
  private readonly when: Trigger
  private readonly off: ((request: Req, context: Context) => boolean) | undefined
  private readonly refresher: Refresher
  private limits: Required<Limits>
  private fresh: number
  private stale: number
  private default: number
  private failed: number
  private skipped: number
  private active: number

  constructor(options: FallbackOptions<Req, Res>) {
    const others = ['store', 'key', 'default', 'when', 'off', 'name', 'storeTimeoutMs', 'storePauseMs']
    knownOptions('fallback', options, [...limits, ...others])
    this.name = nameOption('name', options.name ?? 'fallback')
    if ((options.store === undefined) !== (options.key === undefined)) {
      throw new TypeError('Expected `store` and `key` together: a copy is kept under a key')
    }
    this.access = options.store === undefined ? undefined : new StoreAccess(this.name, options.store, options)
    this.key = options.key === undefined ? () => undefined : functionOption('key', options.key)
    this.hasDefault = 'default' in options
    this.defaultAnswer = options.default
    if (this.access === undefined && !this.hasDefault) {
      throw new TypeError('Expected a `store` or a `default`, got neither: nothing could stand in')
    }
    this.when = functionOption('when', options.when ?? isTrouble)
    this.off = options.off === undefined ? undefined : functionOption('off', options.off)
    this.refresher = new Refresher(this.name, MAX_REFRESHES)
    this.limits = checkLimits(options)
    this.fresh = 0
    this.stale = 0
    this.default = 0
    this.failed = 0
    this.skipped = 0
    this.active = 0
  }

  async call(next: Handler<any, Res>, request: Req, context: Context): Promise<Res> {
    const ended = endedAlready(context)
    if (ended !== undefined) return ended
    const key = this.access === undefined ? undefined : this.key(request, context)
    if (this.off?.(request, context)) {
      this.skipped++
      return this.standIn(request, context, key, this.nothing(), undefined)
    }
    try {
      const answer = await this.fill(next, request, context, key)
      this.fresh++
      return answer
    } catch (error) {
      if (!calledFor(this.when, error, context)) {
        this.failed++
        throw error
      }
      return this.standIn(request, context, key, error, next)
    }
  }

  update(changes: Partial<Limits>): void {
    knownOptions('fallback', changes, limits)
    this.limits = checkLimits(overlay(this.limits, changes))
    announceSettings(this, changes)
  }

  snapshot(): FallbackSnapshot {
    const { fresh, stale, default: default_, failed, skipped: off, active } = this
    const storeFailures = this.access?.failures ?? 0
    const { active: refreshing } = this.refresher
    return { ...this.limits, fresh, stale, default: default_, failed, off, active, refreshing, storeFailures }
  }

  reset(): void {
    this.fresh = 0
    this.stale = 0
    this.default = 0
    this.failed = 0
    this.skipped = 0
  }

  /** Makes the call and keeps a copy of what it brings. */
  private async fill(
    next: Handler<any, Res>,
    request: Req,
    context: Context,
    key: string | undefined,
  ): Promise<Res> {
    const since = context.clock.now()
    const answer = await next(request, context)
    if (key !== undefined) {
      const { maxStaleMs: keepMs } = this.limits
      const lifetime = { tookMs: context.clock.now() - since, freshMs: 0, keepMs }
      this.access!.write(key, { value: answer }, lifetime, context)
    }
    return answer
  }

  /** `next` is what failed with `error`, and may be tried again in the background. */
  private async standIn(
    request: Req,
    context: Context,
    key: string | undefined,
    error: unknown,
    next: Handler<any, Res> | undefined,
  ): Promise<Res> {
    const copy = key === undefined ? undefined : await this.copyOf(key, context)
    if (copy !== undefined) {
      this.stale++
      this.tell(context, { source: 'stale', ageMs: copy.ageMs }, error)
      const { refreshMs } = this.limits
      if (next !== undefined && refreshMs > 0 && isRejection(error, 'deadline-exceeded')) {
        this.refresher.run(key!, context, refreshMs, own => this.fill(next, request, own, key))
      }
      return copy.value
    }
    if (this.hasDefault) {
      try {
        const answer = await this.make(request, context, error)
        this.default++
        this.tell(context, { source: 'default' }, error)
        return answer
      } catch (second) {
        attachFallbackError(error, second)
      }
    }
    this.failed++
    throw error
  }

  private async copyOf(
    key: string,
    context: Context,
  ): Promise<{ readonly value: Res; readonly ageMs: number } | undefined> {
    const askedAt = context.clock.now()
    const copy = await this.access!.read(key, context)
    if (copy === undefined || !('value' in copy.kept)) return undefined
    const ageMs = copy.ageMs + context.clock.now() - askedAt
    return ageMs > this.limits.maxStaleMs ? undefined : { value: copy.kept.value as Res, ageMs }
  }

  private async make(request: Req, caller: Context, error: unknown): Promise<Res> {
    const { defaultAnswer } = this
    if (typeof defaultAnswer !== 'function') return defaultAnswer as Res
    if (this.active >= this.limits.limit) {
      const detail = `${this.limits.limit} defaults are in the making`
      throw new Rejection({ reason: 'bulkhead-full', policy: this.name, retry: 'elsewhere', detail })
    }
    this.active++
    const { context, close } = openContext({ parent: caller, timeoutMs: this.limits.timeoutMs })
    const make = defaultAnswer as MakeDefault<Req, Res>
    const making = attempt(() =>
      callWithin(context, async (_: Req, own) => make(request, own, error), request),
    )
    const made = (): void => {
      this.active--
      close()
    }
    making.then(made, made)
    return settleWithin(context, making)
  }

  private tell(context: Context, how: Omit<DegradedPart, 'part'>, error: unknown): void {
    markDegraded(context, this.name, how)
    if (!degraded.active) return
    degraded.emit({ policy: this.name, part: this.name, source: how.source, ageMs: how.ageMs, error })
  }

  private nothing(): Rejection {
    const detail = 'switched off, and nothing stands in'
    return new Rejection({ reason: 'shed', policy: this.name, retry: 'never', detail })
  }
}

function checkLimits(options: Limits): Required<Limits> {
  return {
    maxStaleMs: numberOption('maxStaleMs', options.maxStaleMs ?? 600_000, { min: 0 }),
    timeoutMs: numberOption('timeoutMs', options.timeoutMs ?? 50, { min: 0, above: true }),
    limit: numberOption('limit', options.limit ?? 10, { min: 0, integer: true }),
    refreshMs: numberOption('refreshMs', options.refreshMs ?? 0, { min: 0 }),
  }
}
