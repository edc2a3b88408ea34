/**
 * A cache that knows three ages of a copy.
 *
 *   0 ............ freshMs ............ freshMs + staleMs ............ freshMs + ifErrorMs
 *   | given as it is | given, and renewed behind | only if the call fails ... | never
 *
 * A copy is as old as the call that brought it is long ago, counted from when that call began. freshMs is shortened
 * by a random part of up to jitterRatio, for each copy anew: copies that were made together do not run out together.
 */
import { markDegraded } from '../core/answer-fields.ts'
import { layer } from '../core/chain.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { type Context, createContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { errorFrom, factsOf } from '../internal/error-facts.ts'
import { type Operated, operated } from '../internal/operated.ts'
import { overlay } from '../internal/overlay.ts'
import { attempt } from '../internal/settle-within.ts'
import type { Copy, CopyStore, Kept } from './copy-store.ts'
import { degraded } from './events.ts'
import { memoryStore } from './memory-store.ts'
import { Refresher } from './refresher.ts'
import { StoreAccess, type StoreAccessOptions } from './store-access.ts'
import { calledFor, isTrouble, type Trigger } from './trigger.ts'
import { type KeyOf, underKey } from './under-key.ts'

interface Ages {
  /** Up to this age a copy is given as it is. */
  readonly freshMs: number
  /** For how long after that a copy is given at once while one call in the background brings a new one. @default 0 */
  readonly staleMs?: number
  /** For how long after being fresh a copy stands in for a call that fails. @default 0 */
  readonly ifErrorMs?: number
  /** How long it is remembered that there is nothing: see `absent` and `absentError`. @default `freshMs` */
  readonly absentMs?: number
  /** `freshMs` is shortened by up to this part of it, at random, 0 to 1. @default 0.1 */
  readonly jitterRatio?: number
  /** How long a call in the background may take. @default 10000 */
  readonly refreshMs?: number
}

export interface StaleOptions<Req = unknown, Res = unknown> extends Ages, StoreAccessOptions {
  /**
   * Calls with the same key have the same answer, so everything that it depends on belongs in it: the user and the
   * tenant too, where they matter. `undefined` for a call whose answer is not kept.
   */
  readonly key: (request: Req, context: Context) => string | undefined
  /** Where copies are kept. @default `memoryStore()` */
  readonly store?: CopyStore
  /** How long `forget` waits for the store before it fails. @default 1000 */
  readonly forgetTimeoutMs?: number
  /** Which answers say that there is nothing. They are kept for `absentMs` and never after. @default `null` and `undefined` */
  readonly absent?: (answer: Res) => boolean
  /** Which failures say that there is nothing, and are kept for `absentMs` like an answer. @default none */
  readonly absentError?: (error: unknown) => boolean
  /** For which failures a copy stands in. @default refusals, timeouts, faults over there; not what the request is to blame for */
  readonly when?: Trigger
  /** How many calls in the background there may be at a time. @default 10 */
  readonly maxRefreshes?: number
  /** Names the policy, and the part in `x-degraded` when a copy stands in. @default 'stale' */
  readonly name?: string
  /** A number from 0 up to 1, for the jitter. @default Math.random */
  readonly random?: () => number
  /** For `forget` outside a call. @default the process's own */
  readonly clock?: Clock
}

export interface StaleSnapshot extends Required<Ages> {
  /** Answers from a copy that was fresh. */
  readonly fresh: number
  /** Answers from a copy that was renewed behind them. */
  readonly stale: number
  /** Answers from a copy because the call failed. */
  readonly stoodIn: number
  /** It was remembered that there is nothing. */
  readonly absent: number
  /** Calls that were made for their caller. */
  readonly called: number
  /** Calls that were made in the background. */
  readonly refreshed: number
  /** Calls in the background now. */
  readonly refreshing: number
  readonly storeFailures: number
}

export interface Stale<Req = unknown, Res = unknown> extends Operated<Ages, StaleSnapshot, Req, Res> {
  /**
   * Drops what is kept under `key`. An answer that was asked for before this is not kept either, when it comes. Fails
   * when the store fails, or has not answered in `forgetTimeoutMs`: the copy may then still be there, or may not.
   */
  forget(key: string): Promise<void>
}

const ages = ['freshMs', 'staleMs', 'ifErrorMs', 'absentMs', 'jitterRatio', 'refreshMs'] as const

/**
 * Keeps answers and gives them again: fresh ones instead of a call, older ones at once while a call in the
 * background brings a new one, and old ones when the call fails. Stands outside `singleflight` and `retry`.
 *
 * No answer is older than `freshMs + max(staleMs, ifErrorMs)`, at most one call in the background is made for a key
 * at a time, and an answer that comes late never replaces one that was asked for after it.
 */
export function stale<Req = unknown, Res = unknown>(options: StaleOptions<Req, Res>): Stale<Req, Res> {
  const cache = register(new StaleCache(options))
  const protection = layer<Req, Res>(
    { kind: 'cache', name: cache.name, repeats: true },
    <Q extends Req, S extends Res>(next: Handler<Q, S>): Handler<Q, S> =>
      underKey(cache.key, next, (key, request, context) => cache.call(next, key, request, context)),
  )
  const clock = options.clock ?? systemClock
  return operated(protection, cache, { forget: (key: string) => cache.forget(key, createContext({ clock })) })
}

class StaleCache<Req, Res> implements Mechanism<Ages, StaleSnapshot> {
  readonly kind: string = 'stale'
  readonly name: string
  readonly key: KeyOf<Req>
  private readonly access: StoreAccess
  private readonly isAbsent: (answer: any) => boolean
  private readonly isAbsentError: ((error: unknown) => boolean) | undefined
  private readonly when: Trigger
  private readonly refresher: Refresher
  private readonly forgetTimeoutMs: number
  private readonly random: () => number
  private ages: Required<Ages>
  private fresh: number
  private stale: number
  private stoodIn: number
  private absent: number
  private called: number
  private refreshed: number

  constructor(options: StaleOptions<Req, Res>) {
    knownOptions('stale', options, [
      ...ages,
      'key',
      'store',
      'forgetTimeoutMs',
      'absent',
      'absentError',
      'when',
      'maxRefreshes',
      'name',
      'random',
      'clock',
      'storeTimeoutMs',
      'storePauseMs',
    ])
    this.name = nameOption('name', options.name ?? 'stale')
    this.key = functionOption('key', options.key)
    this.access = new StoreAccess(this.name, options.store ?? memoryStore(), options)
    const { forgetTimeoutMs = 1000 } = options
    this.forgetTimeoutMs = numberOption('forgetTimeoutMs', forgetTimeoutMs, { min: 0, above: true })
    this.isAbsent = functionOption(
      'absent',
      options.absent ?? (answer => answer === undefined || answer === null),
    )
    this.isAbsentError =
      options.absentError === undefined ? undefined : functionOption('absentError', options.absentError)
    this.when = functionOption('when', options.when ?? isTrouble)
    const maxRefreshes = numberOption('maxRefreshes', options.maxRefreshes ?? 10, { min: 0, integer: true })
    this.refresher = new Refresher(this.name, maxRefreshes)
    this.random = functionOption('random', options.random ?? Math.random)
    this.ages = checkAges(options)
    this.fresh = 0
    this.stale = 0
    this.stoodIn = 0
    this.absent = 0
    this.called = 0
    this.refreshed = 0
  }

  call<Q extends Req, S extends Res>(
    next: Handler<Q, S>,
    key: string,
    request: Q,
    context: Context,
  ): Promise<S> {
    const askedAt = context.clock.now()
    const copy = this.access.read(key, context)
    return copy instanceof Promise
      ? copy.then(found => this.answer(next, request, context, key, found, askedAt))
      : this.answer(next, request, context, key, copy, askedAt)
  }

  forget(key: string, context: Context): Promise<void> {
    return this.access.delete(key, context, this.forgetTimeoutMs)
  }

  update(changes: Partial<Ages>): void {
    knownOptions('stale', changes, ages)
    this.ages = checkAges(overlay(this.ages, changes))
    announceSettings(this, changes)
  }

  snapshot(): StaleSnapshot {
    const { fresh, stale, stoodIn, absent, called, refreshed } = this
    const { active: refreshing } = this.refresher
    const { failures: storeFailures } = this.access
    return { ...this.ages, fresh, stale, stoodIn, absent, called, refreshed, refreshing, storeFailures }
  }

  reset(): void {
    this.fresh = 0
    this.stale = 0
    this.stoodIn = 0
    this.absent = 0
    this.called = 0
    this.refreshed = 0
  }

  /** `askedAt` is when the store was asked: it counted the age of the copy then or later. */
  private async answer<Q extends Req, S extends Res>(
    next: Handler<Q, S>,
    request: Q,
    context: Context,
    key: string,
    copy: Copy | undefined,
    askedAt: number,
  ): Promise<S> {
    const { clock } = context
    const age = (copy: Copy): number => copy.ageMs + clock.now() - askedAt
    if (copy !== undefined && age(copy) < copy.freshMs) return this.give(copy)
    const held =
      copy !== undefined && 'value' in copy.kept && !this.isAbsent(copy.kept.value) ? copy : undefined
    if (held !== undefined && age(held) < held.freshMs + this.ages.staleMs) {
      this.stale++
      const begun = this.refresher.run(key, context, this.ages.refreshMs, own =>
        this.fill(next, request, own, key),
      )
      if (begun) this.refreshed++
      return (held.kept as { value: S }).value
    }
    this.called++
    try {
      return await this.fill(next, request, context, key)
    } catch (error) {
      if (held === undefined || !calledFor(this.when, error, context)) throw error
      const ageMs = age(held)
      if (ageMs > held.freshMs + this.ages.ifErrorMs) throw error
      this.stoodIn++
      markDegraded(context, this.name, { source: 'stale', ageMs })
      if (degraded.active)
        degraded.emit({ policy: this.name, part: this.name, source: 'stale', ageMs, error })
      return (held.kept as { value: S }).value
    }
  }

  private give<S>({ kept }: Copy): S {
    if ('error' in kept) {
      this.absent++
      throw errorFrom(kept.error)
    }
    if (this.isAbsent(kept.value)) this.absent++
    else this.fresh++
    return kept.value as S
  }

  /** Makes the call and keeps what it brings. */
  private async fill<Q, S>(next: Handler<Q, S>, request: Q, context: Context, key: string): Promise<S> {
    const since = context.clock.now()
    try {
      const answer = await attempt(() => next(request, context))
      this.keep(key, { value: answer }, this.isAbsent(answer), since, context)
      return answer
    } catch (error) {
      if (this.isAbsentError?.(error)) this.keep(key, { error: factsOf(error) }, true, since, context)
      throw error
    }
  }

  private keep(key: string, kept: Kept, absent: boolean, since: number, context: Context): void {
    const { freshMs, absentMs, staleMs, ifErrorMs, jitterRatio } = this.ages
    const tookMs = context.clock.now() - since
    const lasts = (absent ? absentMs : freshMs) * (1 - jitterRatio * this.random())
    const keepMs = absent ? lasts : lasts + Math.max(staleMs, ifErrorMs)
    this.access.write(key, kept, { tookMs, freshMs: lasts, keepMs }, context)
  }
}

function checkAges(options: Ages): Required<Ages> {
  const freshMs = numberOption('freshMs', options.freshMs, { min: 0 })
  const from0 = (name: keyof Ages, fallback: number): number =>
    numberOption(name, options[name] ?? fallback, { min: 0 })
  return {
    freshMs,
    staleMs: from0('staleMs', 0),
    ifErrorMs: from0('ifErrorMs', 0),
    absentMs: from0('absentMs', freshMs),
    jitterRatio: numberOption('jitterRatio', options.jitterRatio ?? 0.1, { min: 0, max: 1 }),
    refreshMs: numberOption('refreshMs', options.refreshMs ?? 10_000, { min: 0, above: true }),
  }
}
