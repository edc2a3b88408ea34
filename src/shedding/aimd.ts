/**
 * Additive increase, multiplicative decrease (Chiu and Jain, 1989), as in Netflix's concurrency-limits:
 *
 *   L ← ⌊L·b⌋     a call was dropped, or took longer than the timeout
 *   L ← L + 1     at least half of L was in flight when the call began
 */
import { register } from '../core/mechanism.ts'
import { numberOption } from '../core/options.ts'
import { overlay } from '../internal/overlay.ts'
import { checkRange, clamp, type LimitRange } from './limit-range.ts'
import { type Law, Limiter, type LimiterSnapshot } from './limiter.ts'
import type { Result, Shedder, ShedderOptions } from './shedder.ts'

export interface AimdOptions extends ShedderOptions, Partial<LimitRange> {
  /** Where the limit starts. @default 20 */
  readonly initialLimit?: number
  /** The limit never falls below. @default 1 */
  readonly minLimit?: number
  /** The limit never rises above. @default 200 */
  readonly maxLimit?: number
  /** What the limit is multiplied by when a call is lost. @default 0.9 */
  readonly backoffRatio?: number
  /** A call that took longer counts as lost. @default 5_000 */
  readonly timeoutMs?: number
}

interface Settings extends LimitRange {
  readonly backoffRatio: number
  readonly timeoutMs: number
}

export type AimdSnapshot = LimiterSnapshot<Settings>

const defaults: Settings = {
  initialLimit: 20,
  minLimit: 1,
  maxLimit: 200,
  backoffRatio: 0.9,
  timeoutMs: 5_000,
}

/**
 * Raises the limit by one for each call while all goes well, and cuts it when calls are lost. It needs losses to
 * learn, so it goes where timeouts are short and waiting costs nothing, as in front of a dependency.
 */
export function aimd(options: AimdOptions = {}): Shedder<AimdOptions, AimdSnapshot> {
  const law = new AimdLaw(options)
  return register(new Limiter<AimdOptions, Settings>('aimd', law, Object.keys(defaults), options))
}

/** The limit after a call that began as the `inFlight`th of `limit` and was lost or not. */
export function aimdStep(limit: number, inFlight: number, lost: boolean, backoffRatio: number): number {
  if (lost) return Math.floor(limit * backoffRatio)
  return inFlight * 2 >= limit ? limit + 1 : limit
}

class AimdLaw implements Law<AimdOptions, Settings> {
  limit: number
  private settings: Settings

  constructor(options: AimdOptions) {
    this.settings = check(overlay(defaults, options))
    this.limit = this.settings.initialLimit
  }

  sample(ms: number, inFlight: number, result: Result): void {
    if (result === 'ignore') return
    const { backoffRatio, timeoutMs, minLimit, maxLimit } = this.settings
    const lost = result === 'dropped' || ms > timeoutMs
    this.limit = clamp(aimdStep(this.limit, inFlight, lost, backoffRatio), minLimit, maxLimit)
  }

  update(options: Partial<AimdOptions>): void {
    this.settings = check(overlay(this.settings, options))
    this.limit = clamp(this.limit, this.settings.minLimit, this.settings.maxLimit)
  }

  state(): Settings {
    return this.settings
  }

  reset(): void {
    this.limit = this.settings.initialLimit
  }
}

function check(options: Settings): Settings {
  const { backoffRatio, timeoutMs } = options
  numberOption('backoffRatio', backoffRatio, { min: 0.5, max: 0.99 })
  numberOption('timeoutMs', timeoutMs, { min: 0, above: true })
  return { ...checkRange(options), backoffRatio, timeoutMs }
}
