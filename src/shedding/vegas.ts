/**
 * Vegas (Brakmo and Peterson, 1994), as in Netflix's concurrency-limits: keeps a few calls queueing further in,
 * and no more.
 *
 *   R0     the shortest time lately           R    the time of this call
 *   q      ⌈L·(1 - R0/R)⌉                     how many of the L calls only wait (Little's law)
 *   u      max(1, ⌊log10 L⌋)
 *
 *   dropped        L - u          q ≤ u         L + 6u
 *   q < 3u         L + u          q > 6u        L - u
 *
 * Nothing changes while less than half of L is in flight. After about 30·L calls R0 is learnt anew.
 *
 * The original then takes the time of the one call in hand, which under load is a long one: each probe raises R0,
 * and with it the limit. Here it is the shortest time since the probe before.
 */
import { register } from '../core/mechanism.ts'
import { functionOption, numberOption } from '../core/options.ts'
import { overlay } from '../internal/overlay.ts'
import { checkRange, clamp, type LimitRange } from './limit-range.ts'
import { type Law, Limiter, type LimiterSnapshot } from './limiter.ts'
import type { Result, Shedder, ShedderOptions } from './shedder.ts'

export interface VegasOptions extends ShedderOptions, Partial<LimitRange> {
  /** Where the limit starts. @default 20 */
  readonly initialLimit?: number
  /** The limit never falls below. @default 1 */
  readonly minLimit?: number
  /** The limit never rises above. @default 1_000 */
  readonly maxLimit?: number
  /** The shortest time is learnt anew after about so many calls for each call of the limit. @default 30 */
  readonly probeMultiplier?: number
  /** Spreads the probes of many processes. @default Math.random */
  readonly random?: () => number
}

interface Settings extends LimitRange {
  readonly probeMultiplier: number
}

interface State extends Settings {
  /** The time of a call that nothing is in the way of; 0 while unknown. */
  readonly baseMs: number
}

export type VegasSnapshot = LimiterSnapshot<State>

const defaults: Settings = { initialLimit: 20, minLimit: 1, maxLimit: 1_000, probeMultiplier: 30 }

/** Limits the calls in flight by how much longer they take than the quickest. Fast to follow, easily misled. */
export function vegas(options: VegasOptions = {}): Shedder<VegasOptions, VegasSnapshot> {
  const law = new VegasLaw(options)
  return register(
    new Limiter<VegasOptions, State>('vegas', law, [...Object.keys(defaults), 'random'], options),
  )
}

/** The limit after a call that took `ms` where the quickest takes `baseMs`. */
export function vegasStep(
  limit: number,
  baseMs: number,
  ms: number,
  inFlight: number,
  dropped: boolean,
): number {
  const unit = Math.max(1, Math.floor(Math.log10(Math.floor(limit))))
  if (dropped) return limit - unit
  if (inFlight * 2 < limit) return limit
  const queue = Math.ceil(limit * (1 - baseMs / ms))
  if (queue <= unit) return limit + 6 * unit
  if (queue < 3 * unit) return limit + unit
  return queue > 6 * unit ? limit - unit : limit
}

class VegasLaw implements Law<VegasOptions, State> {
  private exact: number
  private settings: Settings
  private random: () => number
  private baseMs: number
  /** The shortest time since the last probe. */
  private candidateMs: number
  private calls: number
  private probeAfter: number

  constructor(options: VegasOptions) {
    this.settings = check(overlay(defaults, options))
    this.random = functionOption('random', options.random ?? Math.random)
    this.exact = this.settings.initialLimit
    this.baseMs = 0
    this.candidateMs = Infinity
    this.calls = 0
    this.probeAfter = this.jitter()
  }

  get limit(): number {
    return Math.floor(this.exact)
  }

  sample(ms: number, inFlight: number, result: Result): void {
    if (result === 'ignore' || !(ms > 0)) return
    const { minLimit, maxLimit, probeMultiplier } = this.settings
    const dropped = result === 'dropped'
    if (!dropped) {
      if (ms < this.candidateMs) this.candidateMs = ms
      if (++this.calls >= this.probeAfter * probeMultiplier * this.exact) {
        this.baseMs = this.candidateMs
        this.candidateMs = Infinity
        this.calls = 0
        this.probeAfter = this.jitter()
        return
      }
      if (this.baseMs === 0 || ms < this.baseMs) {
        this.baseMs = ms
        return
      }
    }
    this.exact = clamp(vegasStep(this.exact, this.baseMs, ms, inFlight, dropped), minLimit, maxLimit)
  }

  update({ random = this.random, ...options }: Partial<VegasOptions>): void {
    const settings = check(overlay(this.settings, options))
    this.random = functionOption('random', random)
    this.settings = settings
    this.exact = clamp(this.exact, settings.minLimit, settings.maxLimit)
  }

  state(): State {
    return { ...this.settings, baseMs: this.baseMs }
  }

  reset(): void {
    this.exact = this.settings.initialLimit
    this.baseMs = 0
    this.candidateMs = Infinity
    this.calls = 0
  }

  private jitter(): number {
    return 0.5 + this.random() / 2
  }
}

function check(options: Settings): Settings {
  const { probeMultiplier } = options
  numberOption('probeMultiplier', probeMultiplier, { min: 1 })
  return { ...checkRange(options), probeMultiplier }
}
