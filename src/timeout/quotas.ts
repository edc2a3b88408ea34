/**
 * How long each kind of call may take, by name and in one place.
 *
 *   what a call may take = min(what is left of the call it is part of - reserve, its quota)
 */
import { defaultContext } from '../core/ambient.ts'
import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Call, Protection } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { knownOptions, nameOption } from '../core/options.ts'
import { deadlineExceeded, isRejection, type Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { checkLimit, type LimitOptions, msLeft, TimeLimit } from './time-limit.ts'

/** The time that calls of one kind get. Where no context is given, it is the current one. */
export interface Quota {
  readonly name: string
  /**
   * Does a piece of work in the time that is left for it: `quota.redis.run(() => redis.get(key))`. With too little
   * left it is refused at once. When the time is up the caller has its answer, and the work is told by the context
   * it was given: `quota.http.run(({ signal }) => fetch(url, { signal }))`.
   */
  run<T>(work: (context: Context) => Promise<T>, context?: Context): Promise<T>
  /**
   * What a call may take now, in whole milliseconds, for a driver that takes a timeout. Never 0, which many drivers
   * take for "no limit": with too little left it throws the refusal.
   */
  ms(context?: Context): number
  /** The same as a point in time by the wall clock, as the call options of grpc-js want it. */
  deadline(context?: Context): Date
  /** The same for a chain. */
  readonly middleware: Protection
}

export interface QuotaSnapshot {
  readonly limitMs: number
  /** Calls that were let in through `run` and the middleware. */
  readonly calls: number
  readonly inFlight: number
  /** Calls that had too little time left. */
  readonly refused: number
  /** Calls whose time ran out. */
  readonly timedOut: number
}

export interface QuotasSnapshot<Name extends string = string> {
  readonly reserveMs: number
  readonly minUsefulMs: number
  readonly quotas: Readonly<Record<Name, QuotaSnapshot>>
}

/** Limits in milliseconds, by the name of what is called. */
export type QuotaLimits<Name extends string = string> = Readonly<Record<Name, number>>

export interface QuotasMechanism<Name extends string = string>
  extends Mechanism<QuotaLimits<Name>, QuotasSnapshot<Name>> {
  update(limits: Partial<QuotaLimits<Name>>, options?: Omit<LimitOptions, 'name'>): void
}

export type Quotas<Name extends string = string> = Readonly<Record<Name, Quota>> & QuotasMechanism<Name>

/**
 * Gives each kind of call a quota of time: `quotas({ redis: 50, grpc: 400, sql: 300 })`. Each is found under its
 * name, `quota.redis`.
 */
export function quotas<Name extends string>(
  limits: QuotaLimits<Name>,
  options: LimitOptions = {},
): Quotas<Name> {
  knownOptions('quotas', options, ['reserveMs', 'minUsefulMs', 'name'])
  const named = namesOf(limits).map(name => {
    return [name, new NamedQuota(name, checkLimit(name, limits[name]), options)] as const
  })
  if (named.length === 0) throw new TypeError('Expected a quota for at least one kind of call, got none')
  const set = new QuotaSet<Name>(nameOption('name', options.name ?? 'quotas'), named)
  for (const [name, quota] of named) {
    // A promise is known by its `then`, and other names belong to the set itself.
    if (name === '' || name === 'then' || name in set) {
      throw new TypeError(`Expected another name for a quota than ${JSON.stringify(name)}`)
    }
    Object.defineProperty(set, name, { value: quota, enumerable: true })
  }
  if (options.name !== undefined) register(set)
  return set as unknown as Quotas<Name>
}

class QuotaSet<Name extends string> implements QuotasMechanism<Name> {
  readonly kind: string = 'quotas'
  readonly name: string
  readonly #quotas: readonly (readonly [Name, NamedQuota])[]

  constructor(name: string, named: readonly (readonly [Name, NamedQuota])[]) {
    this.name = name
    this.#quotas = named
  }

  update(limits: Partial<QuotaLimits<Name>>, options: Omit<LimitOptions, 'name'> = {}): void {
    const names = this.#quotas.map(([name]) => name)
    knownOptions('update of quotas', limits, names)
    knownOptions('update of quotas', options, ['reserveMs', 'minUsefulMs'])
    const next = this.#quotas.map(([name, { limit }]) => {
      const { [name]: limitMs = limit.limitMs } = limits
      const { reserveMs = limit.reserveMs, minUsefulMs = limit.minUsefulMs } = options
      return new TimeLimit(limit.policy, checkLimit(name, limitMs), { reserveMs, minUsefulMs }, false)
    })
    for (const [i, [, quota]] of this.#quotas.entries()) quota.limit = next[i]!
    announceSettings(this, { ...limits, ...options })
  }

  snapshot(): QuotasSnapshot<Name> {
    const { reserveMs, minUsefulMs } = this.#quotas[0]![1].limit
    const quotas = Object.fromEntries(this.#quotas.map(([name, quota]) => [name, quota.snapshot()]))
    return { reserveMs, minUsefulMs, quotas: quotas as Record<Name, QuotaSnapshot> }
  }

  reset(): void {
    for (const [, quota] of this.#quotas) quota.reset()
  }
}

class NamedQuota implements Quota, Gate<unknown, number> {
  readonly kind: 'other' = 'other'
  readonly name: string
  readonly middleware: Protection
  limit: TimeLimit
  private readonly call: Call<(context: Context) => Promise<any>, any>
  private calls: number
  private inFlight: number
  private refused: number
  private timedOut: number

  constructor(name: string, limitMs: number, options: LimitOptions) {
    this.name = `${name} quota`
    this.limit = new TimeLimit(this.name, limitMs, options, false)
    this.calls = 0
    this.inFlight = 0
    this.refused = 0
    this.timedOut = 0
    this.middleware = gate(this)
    this.call = this.middleware((work: (context: Context) => Promise<any>, context) => work(context))
  }

  run<T>(work: (context: Context) => Promise<T>, context: Context = defaultContext()): Promise<T> {
    return this.call(work, context)
  }

  ms(context: Context = defaultContext()): number {
    const now = context.clock.now()
    const end = this.limit.end(context, now)
    const ms = isRejection(end) ? 0 : Math.floor(msLeft(end, now))
    if (ms >= 1) return ms
    this.refused++
    throw isRejection(end) ? end : deadlineExceeded(this.name, false, 'less than 1 ms left')
  }

  deadline(context?: Context): Date {
    const ms = this.ms(context)
    // What is decided is decided by the monotonic clock; the date is only how grpc-js wants to be told.
    const date = new Date()
    date.setMilliseconds(date.getMilliseconds() + ms)
    return date
  }

  admit(_request: unknown, context: Context, now: number): number | Rejection {
    const end = this.limit.end(context, now)
    if (typeof end === 'number') {
      this.calls++
      this.inFlight++
    } else {
      this.refused++
    }
    return end
  }

  narrow(context: Context, end: number): Context {
    return this.limit.within(context, end)
  }

  settle(_end: number, outcome: Outcome): void {
    this.inFlight--
    if (outcome === 'timeout') this.timedOut++
  }

  snapshot(): QuotaSnapshot {
    const { calls, inFlight, refused, timedOut } = this
    return { limitMs: this.limit.limitMs, calls, inFlight, refused, timedOut }
  }

  /** Calls in flight are not forgotten: they will be settled. */
  reset(): void {
    this.calls = 0
    this.refused = 0
    this.timedOut = 0
  }
}

function namesOf<Name extends string>(limits: QuotaLimits<Name>): readonly Name[] {
  if (typeof limits !== 'object' || limits === null || Array.isArray(limits)) {
    throw new TypeError('Expected the quotas to be an object of limits by name')
  }
  return Object.keys(limits) as Name[]
}
