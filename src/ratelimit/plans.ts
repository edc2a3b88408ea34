import type { Clock } from '../core/clock.ts'
import { functionOption, knownOptions, nameOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { changed } from './checks.ts'
import type { Decision, Limiter, LimitPolicy } from './limiter.ts'

export interface PlansOptions {
  /** The plan of a key. A plan that is not in `limits`, or none, means `otherwise`. Asked on each call, so keep it quick. */
  readonly of: (key: string) => string | undefined
  /** The limit of each plan. */
  readonly limits: Readonly<Record<string, Limiter>>
  /** The limit of everybody else. */
  readonly otherwise: Limiter
  /** @default 'plans' */
  readonly name?: string
}

export interface PlansSnapshot {
  /** What each of the limits has to say, by plan. */
  readonly limits: Readonly<Record<string, object>>
  readonly otherwise: object
}

/**
 * Different limits for different keys. The limits change live, one by one through their own `update` or all through
 * this one's; a key that moves to another plan begins there as one never seen.
 */
export function plans(options: PlansOptions): Limiter<PlansOptions, PlansSnapshot> {
  return new Plans(options)
}

class Plans implements Limiter<PlansOptions, PlansSnapshot> {
  readonly immediate: true
  readonly clock: Clock
  readonly kind: string
  readonly name: string
  private of: PlansOptions['of']
  private limits: ReadonlyMap<string, Limiter>
  private otherwise: Limiter

  constructor(options: PlansOptions) {
    const { of, limits, otherwise } = check(options)
    this.immediate = true
    this.clock = otherwise.clock
    this.kind = 'plans'
    this.name = nameOption('name', options.name ?? this.kind)
    this.of = of
    this.limits = new Map(Object.entries(limits))
    this.otherwise = otherwise
  }

  take(key: string, cost?: number, now?: number): Decision {
    return this.limitOf(key).take(key, cost, now)
  }

  peek(key: string, cost?: number, now?: number): Decision {
    return this.limitOf(key).peek(key, cost, now)
  }

  refund(key: string, cost: number, now?: number, takenAt?: number): void {
    this.limitOf(key).refund(key, cost, now, takenAt)
  }

  charge(key: string, cost: number, now?: number): void {
    this.limitOf(key).charge(key, cost, now)
  }

  block(key: string, forMs: number, now?: number): void {
    this.limitOf(key).block(key, forMs, now)
  }

  policies(): readonly LimitPolicy[] {
    return [...this.limits.values(), this.otherwise].flatMap(limiter => limiter.policies())
  }

  update(partial: Partial<PlansOptions>): void {
    knownOptions('update of plans', partial, ['of', 'limits', 'otherwise'])
    const now = { of: this.of, limits: Object.fromEntries(this.limits), otherwise: this.otherwise }
    const { of, limits, otherwise } = check(changed(now, partial))
    this.of = of
    this.limits = new Map(Object.entries(limits))
    this.otherwise = otherwise
    announceSettings(this, partial)
  }

  snapshot(): PlansSnapshot {
    const limits = [...this.limits].map(([plan, limiter]) => [plan, limiter.snapshot()])
    return { limits: Object.fromEntries(limits), otherwise: this.otherwise.snapshot() }
  }

  reset(): void {
    for (const limiter of this.limits.values()) limiter.reset()
    this.otherwise.reset()
  }

  private limitOf(key: string): Limiter {
    const plan = this.of(key)
    return (plan === undefined ? undefined : this.limits.get(plan)) ?? this.otherwise
  }
}

function check(options: PlansOptions): PlansOptions {
  knownOptions('plans', options, ['of', 'limits', 'otherwise', 'name'])
  functionOption('of', options.of)
  for (const [plan, limiter] of Object.entries({ ...options.limits, otherwise: options.otherwise })) {
    if (limiter?.immediate !== true || limiter.release !== undefined) {
      throw new TypeError(
        `Expected the limit of '${plan}' to be a limiter that answers at once and holds nothing, as a limit on concurrency would: its key might move to another plan in between`,
      )
    }
  }
  return options
}
