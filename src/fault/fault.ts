/**
 * Breaks calls on purpose, to see what the rest makes of it. For each call the rules are gone through in order: the
 * first one that concerns the call and whose lot is drawn decides, and no other.
 *
 *   lot          random() * 100 < percent, one number for each rule that concerns the call
 *   what happens latency, then the ending (error, abort or hang) if there is one, before or after the work;
 *                bytesPerSecond: size(request) / rate before the work and size(answer) / rate after it
 */
import { layer } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import { createEvent, type Event } from '../core/event.ts'
import type { Handler } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { type Operated, operated } from '../internal/operated.ts'
import { seededRandom } from '../internal/seeded-random.ts'
import { sleep } from '../internal/timer.ts'
import { Hang } from './hang.ts'
import { type CheckedRule, checkRule, concerns, type FaultRule } from './rule.ts'
import { sizeOf } from './size-of.ts'

export interface FaultSettings<Req = any> {
  /** Whether anything is broken at all. @default false */
  readonly enabled?: boolean
  /** What goes wrong. @default nothing */
  readonly rules?: readonly FaultRule<Req>[]
  /** With the same seed and the same calls the same ones go wrong. @default drawn */
  readonly seed?: number
}

export interface FaultOptions<Req = any> extends FaultSettings<Req> {
  /** How many bytes a request or an answer is, for `bytesPerSecond`. @default of text, buffers, HTTP messages, else of JSON */
  readonly sizeOf?: (message: unknown) => number
  /** Numbers from 0 up to 1, in place of a seed. @default by seed */
  readonly random?: () => number
  /** @default 'fault' */
  readonly name?: string
}

export interface FaultSnapshot {
  readonly enabled: boolean
  readonly seed: number | undefined
  /** Calls that came by while it was enabled. */
  readonly calls: number
  /** How often each rule was put to work. */
  readonly injected: Readonly<Record<string, number>>
  /** Calls that hang now. */
  readonly hanging: number
}

/** Published as `spillway:fault` for each fault. */
export interface InjectedFault {
  readonly policy: string
  readonly rule: string
}

export const faultInjected: Event<InjectedFault> = createEvent('fault')

export interface Fault<Req = any> extends Operated<FaultSettings<Req>, FaultSnapshot, Req> {}

/**
 * Injects faults into calls: latency, errors, refusals, hangs, a slow line. Off unless `enabled`, and changed while
 * it runs with `update`; switching it off lets calls that hang go on. A refusal that it makes has the reason
 * `fault-injected`.
 */
export function fault<Req = any>(options: FaultOptions<Req> = {}): Fault<Req> {
  const injector = register(new Injector(options))
  const protection = layer<Req>(
    { kind: 'fault', name: injector.name },
    <Q extends Req, S>(next: Handler<Q, S>): Handler<Q, S> =>
      (request, context) => {
        const rule = injector.draw(request, context)
        return rule === undefined ? next(request, context) : injector.inject(rule, next, request, context)
      },
  )
  return operated(protection, injector)
}

const changeable = ['enabled', 'rules', 'seed'] as const

class Injector implements Mechanism<FaultSettings, FaultSnapshot> {
  readonly kind: string = 'fault'
  readonly name: string
  private readonly size: (message: unknown) => number
  private readonly hang: Hang
  private readonly givenRandom: (() => number) | undefined
  private random: () => number
  private enabled: boolean
  private seed: number | undefined
  private rules: readonly CheckedRule[]
  private calls: number
  private injected: Map<string, number>

  constructor(options: FaultOptions) {
    knownOptions('fault', options, [...changeable, 'sizeOf', 'random', 'name'])
    this.name = nameOption('name', options.name ?? 'fault')
    this.size = functionOption('sizeOf', options.sizeOf ?? sizeOf)
    this.givenRandom = options.random === undefined ? undefined : functionOption('random', options.random)
    this.hang = new Hang()
    this.enabled = false
    this.seed = undefined
    this.rules = []
    this.random = this.givenRandom ?? Math.random
    this.calls = 0
    this.injected = new Map()
    this.change(options)
  }

  /** The rule that a call falls to, if any. */
  draw(request: unknown, context: Context): CheckedRule | undefined {
    if (!this.enabled) return undefined
    this.calls++
    for (const rule of this.rules) {
      if (!concerns(rule, request, context) || this.random() * 100 >= rule.percent) continue
      this.injected.set(rule.name, (this.injected.get(rule.name) ?? 0) + 1)
      if (faultInjected.active) faultInjected.emit({ policy: this.name, rule: rule.name })
      return rule
    }
    return undefined
  }

  async inject<Q, S>(rule: CheckedRule, next: Handler<Q, S>, request: Q, context: Context): Promise<S> {
    const { bytesPerSecond } = rule
    if (rule.at === 'before') await this.suffer(rule, request, context)
    if (bytesPerSecond !== undefined) await this.travel(request, bytesPerSecond, context)
    const answer = await next(request, context)
    if (bytesPerSecond !== undefined) await this.travel(answer, bytesPerSecond, context)
    if (rule.at === 'after') await this.suffer(rule, request, context)
    return answer
  }

  update(changes: Partial<FaultSettings>): void {
    knownOptions('fault', changes, changeable)
    this.change(changes)
    announceSettings(this, changes)
  }

  snapshot(): FaultSnapshot {
    const { enabled, seed, calls } = this
    return { enabled, seed, calls, injected: Object.fromEntries(this.injected), hanging: this.hang.size }
  }

  /** Counts from nought, and draws the same lots again where there is a seed. */
  reset(): void {
    this.calls = 0
    this.injected = new Map()
    this.plant()
  }

  private change({ enabled = this.enabled, rules, seed = this.seed }: FaultSettings): void {
    if (typeof enabled !== 'boolean')
      throw new TypeError(`Expected \`enabled\` to be a boolean, got ${String(enabled)}`)
    if (seed !== undefined) numberOption('seed', seed, { integer: true })
    if (seed !== undefined && this.givenRandom !== undefined) {
      throw new TypeError('Expected `seed` or `random`, got both')
    }
    const checked = rules === undefined ? this.rules : rules.map(checkRule)
    const replant = seed !== this.seed
    this.enabled = enabled
    this.rules = checked
    this.seed = seed
    if (replant) this.plant()
    if (!enabled || rules !== undefined) this.hang.release()
  }

  private plant(): void {
    this.random = this.givenRandom ?? (this.seed === undefined ? Math.random : seededRandom(this.seed))
  }

  private async suffer(rule: CheckedRule, request: unknown, context: Context): Promise<void> {
    const { latency, error, abort } = rule
    if (latency !== undefined) {
      const spread = latency.maxMs - latency.minMs
      await delay(context, latency.minMs + (spread === 0 ? 0 : spread * this.random()))
    }
    if (error !== undefined) throw error(request, context)
    if (abort !== undefined) {
      throw new Rejection({
        reason: 'fault-injected',
        policy: this.name,
        retry: abort,
        retryAfterMs: abort === 'later' ? 0 : undefined,
        begun: rule.at === 'after',
        detail: rule.name,
      })
    }
    if (rule.hang) await this.hang.wait(context)
  }

  private async travel(message: unknown, bytesPerSecond: number, context: Context): Promise<void> {
    const ms = (this.size(message) / bytesPerSecond) * 1000
    if (ms > 0) await delay(context, ms)
  }
}

/** Somebody waits for a call that is slow on purpose, so the process stays alive for it. */
function delay(context: Context, ms: number): Promise<void> {
  return sleep(context, ms, { keepAlive: true })
}
