/**
 * Gradient2 of Netflix's concurrency-limits: compares how long calls take now with how long they have taken.
 *
 *   short   mean time of a window            long   mean over about 600 windows
 *   g       clamp(tolerance · long / short, 1/2, 1)
 *   L       ← (1 - s)·L + s·(g·L + queue)
 *
 * While less than half of L is in flight L stays as it is. Once long is more than twice short, a load has gone and
 * long shrinks by a twentieth a window.
 *
 * Three things are different here. A call that was dropped shrinks the limit; the original ignores it, so that a
 * dependency which always times out looks steady and the limit goes to its maximum. L only grows by `queue` while
 * g = 1, or it creeps up for ever under a mild overload. And the limit may fall to 4, because on one thread 20
 * calls in flight are already a long queue.
 */
import { register } from '../core/mechanism.ts'
import { numberOption } from '../core/options.ts'
import { overlay } from '../internal/overlay.ts'
import { checkRange, clamp, type LimitRange } from './limit-range.ts'
import { type Law, Limiter, type LimiterSnapshot } from './limiter.ts'
import type { Result, Shedder, ShedderOptions } from './shedder.ts'

export interface GradientOptions extends ShedderOptions, Partial<LimitRange> {
  /** Where the limit starts. @default 20 */
  readonly initialLimit?: number
  /** The limit never falls below. @default 4 */
  readonly minLimit?: number
  /** The limit never rises above. @default 200 */
  readonly maxLimit?: number
  /** How much longer than usual calls may take before the limit shrinks. @default 1.5 */
  readonly toleranceRatio?: number
  /** How many calls may queue further in. @default 4 */
  readonly queue?: number
  /** How much of a new limit is taken at once. @default 0.2 */
  readonly smoothingRatio?: number
  /** How much time makes one measurement. @default 1_000 */
  readonly windowMs?: number
  /** How many calls a measurement needs. @default 10 */
  readonly minSamples?: number
}

interface Settings extends LimitRange {
  readonly toleranceRatio: number
  readonly queue: number
  readonly smoothingRatio: number
  readonly windowMs: number
  readonly minSamples: number
}

interface State extends Settings {
  /** How long calls have taken; 0 while unknown. */
  readonly longMs: number
}

export type GradientSnapshot = LimiterSnapshot<State>

const defaults: Settings = {
  initialLimit: 20,
  minLimit: 4,
  maxLimit: 200,
  toleranceRatio: 1.5,
  queue: 4,
  smoothingRatio: 0.2,
  windowMs: 1_000,
  minSamples: 10,
}

const LONG_WINDOWS = 600
const WARM_UP = 10

/** Limits the calls in flight by how much longer they take than usual. Steady; blind to synchronous work. */
export function gradient(options: GradientOptions = {}): Shedder<GradientOptions, GradientSnapshot> {
  const law = new GradientLaw(options)
  return register(new Limiter<GradientOptions, State>('gradient', law, Object.keys(defaults), options))
}

/** The limit after a window in which calls took `shortMs` where they usually take `longMs`. */
export function gradientStep(
  limit: number,
  longMs: number,
  shortMs: number,
  { toleranceRatio, queue, smoothingRatio }: Pick<Settings, 'toleranceRatio' | 'queue' | 'smoothingRatio'>,
): number {
  const gradient = clamp((toleranceRatio * longMs) / shortMs, 0.5, 1)
  return limit * (1 - smoothingRatio) + (limit * gradient + queue) * smoothingRatio
}

class GradientLaw implements Law<GradientOptions, State> {
  private exact: number
  private settings: Settings
  private longMs: number
  private windows: number
  private warmUpMs: number
  private windowEnd: number
  private count: number
  private sumMs: number
  private most: number
  private lost: boolean

  constructor(options: GradientOptions) {
    this.settings = check(overlay(defaults, options))
    this.exact = this.settings.initialLimit
    this.longMs = 0
    this.windows = 0
    this.warmUpMs = 0
    this.windowEnd = Number.NaN
    this.count = 0
    this.sumMs = 0
    this.most = 0
    this.lost = false
  }

  get limit(): number {
    return Math.floor(this.exact)
  }

  sample(ms: number, inFlight: number, result: Result, now: number): void {
    if (result === 'ignore') return
    // The first window, or a clock that has gone back.
    if (!(now >= this.windowEnd - this.settings.windowMs)) this.windowEnd = now + this.settings.windowMs
    if (inFlight > this.most) this.most = inFlight
    if (result === 'dropped') this.lost = true
    else {
      this.count++
      this.sumMs += ms
    }
    if (now < this.windowEnd) return
    if (this.count >= this.settings.minSamples && this.sumMs > 0) this.learn(this.sumMs / this.count)
    if (this.lost) this.move(this.exact * (1 - this.settings.smoothingRatio / 2))
    this.windowEnd = now + this.settings.windowMs
    this.count = 0
    this.sumMs = 0
    this.most = 0
    this.lost = false
  }

  update(options: Partial<GradientOptions>): void {
    this.settings = check(overlay(this.settings, options))
    this.move(this.exact)
  }

  state(): State {
    return { ...this.settings, longMs: this.longMs }
  }

  reset(): void {
    this.exact = this.settings.initialLimit
    this.longMs = 0
    this.windows = 0
    this.warmUpMs = 0
    this.windowEnd = Number.NaN
    this.count = 0
    this.sumMs = 0
    this.most = 0
    this.lost = false
  }

  private learn(shortMs: number): void {
    this.windows++
    if (this.windows <= WARM_UP) {
      this.warmUpMs += shortMs
      this.longMs = this.warmUpMs / this.windows
    } else this.longMs += (2 / (LONG_WINDOWS + 1)) * (shortMs - this.longMs)
    if (this.longMs > 2 * shortMs) this.longMs *= 0.95
    if (this.most < this.exact / 2 || this.lost) return
    const { settings } = this
    const full = settings.toleranceRatio * this.longMs >= shortMs
    this.move(gradientStep(this.exact, this.longMs, shortMs, full ? settings : { ...settings, queue: 0 }))
  }

  private move(limit: number): void {
    this.exact = clamp(limit, this.settings.minLimit, this.settings.maxLimit)
  }
}

function check(options: Settings): Settings {
  const { toleranceRatio, queue, smoothingRatio, windowMs, minSamples } = options
  numberOption('toleranceRatio', toleranceRatio, { min: 1, max: 10 })
  numberOption('queue', queue, { min: 0 })
  numberOption('smoothingRatio', smoothingRatio, { min: 0, max: 1, above: true })
  numberOption('windowMs', windowMs, { min: 0, above: true })
  numberOption('minSamples', minSamples, { min: 1, integer: true })
  return { ...checkRange(options), toleranceRatio, queue, smoothingRatio, windowMs, minSamples }
}
