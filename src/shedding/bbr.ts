/**
 * The limiter of go-kratos/aegis, after BBR (Cardwell and others, 2016): Little's law with the best of the recent
 * past.
 *
 *   maxPass   the most calls that came through in one bucket of the window
 *   minRt     the least mean time of a bucket, in milliseconds
 *   L         ⌊maxPass · (buckets a second) · minRt / 1000 + 1/2⌋
 *
 *   refuse    when pressed, or within the cool-down after a refusal:  n > 1 and n > L
 *   pressed   processor use, or event-loop use, at its threshold or above
 *
 * What the original does and this does not:
 *   Its processor average needs 16 s of full load to notice it; by then the window holds nothing but slow buckets,
 *   L has grown to what is in flight, and nothing is ever refused. Here the average has a time constant of a second,
 *   event-loop use is looked at beside it, and while pressed the last calm minimum of minRt is kept.
 *   It measures the use of the whole machine, which one busy thread never brings to 80 % on two processors. Here
 *   it is this process, out of the one processor, or the part of one, that it may use.
 *   Its cool-down runs from the first refusal of an episode and so ends while the overload goes on; here from the last.
 *   It counts errors as answers, and an error that comes at once is a very short time; here only successes count.
 *   Before the first bucket is full it lets one call in at a time; here it refuses nobody yet.
 */
import { register } from '../core/mechanism.ts'
import { functionOption, numberOption } from '../core/options.ts'
import { overlay } from '../internal/overlay.ts'
import { cpuUse, loopUse } from '../internal/process-use.ts'
import { type Law, Limiter, type LimiterSnapshot } from './limiter.ts'
import { PassWindow } from './pass-window.ts'
import type { Result, Shedder, ShedderOptions } from './shedder.ts'

/** Reads how much of something is in use at a time, from 0 to 1. */
export type UseReader = (now: number) => number

export interface BbrOptions extends ShedderOptions {
  /** The past that counts. @default 10_000 */
  readonly windowMs?: number
  /** Into how many parts it is cut. @default 100 */
  readonly buckets?: number
  /** Processor use from which on calls may be refused. @default 0.8 */
  readonly cpuThresholdRatio?: number
  /** Event-loop use from which on calls may be refused. @default 0.95 */
  readonly loopThresholdRatio?: number
  /** For how long after a refusal calls may be refused though the use has gone down. @default 1_000 */
  readonly coolDownMs?: number
  /** @default this process, out of the processor time that its container leaves it */
  readonly cpu?: UseReader
  /** @default the event loop of this thread */
  readonly loop?: UseReader
}

interface Settings {
  readonly windowMs: number
  readonly buckets: number
  readonly cpuThresholdRatio: number
  readonly loopThresholdRatio: number
  readonly coolDownMs: number
}

interface State extends Settings {
  /** The most calls of a bucket; 0 while no bucket is complete. */
  readonly maxPass: number
  /** The least mean time of a bucket; `Infinity` while no bucket is complete. */
  readonly minRtMs: number
  readonly cpu: number
  readonly loop: number
}

export type BbrSnapshot = LimiterSnapshot<State>

const defaults: Settings = {
  windowMs: 10_000,
  buckets: 100,
  cpuThresholdRatio: 0.8,
  loopThresholdRatio: 0.95,
  coolDownMs: 1_000,
}

/** Limits the calls in flight by Little's law while the process is busy. Blind to synchronous handlers and to waits. */
export function bbr(options: BbrOptions = {}): Shedder<BbrOptions, BbrSnapshot> {
  const law = new BbrLaw(options)
  return register(
    new Limiter<BbrOptions, State>('bbr', law, [...Object.keys(defaults), 'cpu', 'loop'], options),
  )
}

/** How many calls fit: what comes through in a second, times the seconds that one takes. */
export function bbrLimit(maxPass: number, minRtMs: number, bucketsPerSecond: number): number {
  return Math.floor((maxPass * minRtMs * bucketsPerSecond) / 1_000 + 0.5)
}

class BbrLaw implements Law<BbrOptions, State> {
  limit: number
  private settings: Settings
  private window: PassWindow
  private readonly cpu: UseReader
  private readonly loop: UseReader
  private bucket: number
  private maxPass: number
  private minRtMs: number
  private lastRefusal: number
  private cpuNow: number
  private loopNow: number

  constructor(options: BbrOptions) {
    this.settings = check(overlay(defaults, options))
    this.window = new PassWindow(this.settings.windowMs, this.settings.buckets)
    this.cpu = options.cpu === undefined ? reader(cpuUse()) : functionOption('cpu', options.cpu)
    this.loop = options.loop === undefined ? reader(loopUse()) : functionOption('loop', options.loop)
    this.limit = Infinity
    this.bucket = Number.NaN
    this.maxPass = 0
    this.minRtMs = Infinity
    this.lastRefusal = -Infinity
    this.cpuNow = 0
    this.loopNow = 0
  }

  applies(now: number): boolean {
    const { cpuThresholdRatio, loopThresholdRatio, coolDownMs } = this.settings
    this.cpuNow = this.cpu(now)
    this.loopNow = this.loop(now)
    const pressed = this.cpuNow >= cpuThresholdRatio || this.loopNow >= loopThresholdRatio
    const bucket = this.window.bucketAt(now)
    if (bucket !== this.bucket) {
      this.bucket = bucket
      this.learn(pressed, now)
    }
    const since = now - this.lastRefusal
    return pressed || (since >= 0 && since <= coolDownMs)
  }

  refused(now: number): void {
    this.lastRefusal = now
  }

  sample(ms: number, _inFlight: number, result: Result, now: number): void {
    if (result === 'success') this.window.add(ms, now)
  }

  update({ cpu, loop, ...options }: Partial<BbrOptions>): void {
    if (cpu !== undefined || loop !== undefined) {
      throw new TypeError('Expected `cpu` and `loop` to be given at construction: they cannot be changed')
    }
    const settings = check(overlay(this.settings, options))
    if (settings.windowMs !== this.settings.windowMs || settings.buckets !== this.settings.buckets) {
      this.window = new PassWindow(settings.windowMs, settings.buckets)
    }
    this.settings = settings
  }

  state(): State {
    const { settings, minRtMs, cpuNow: cpu, loopNow: loop } = this
    return { ...settings, maxPass: this.maxPass, minRtMs, cpu, loop }
  }

  reset(): void {
    this.window.reset()
    this.limit = Infinity
    this.bucket = Number.NaN
    this.minRtMs = Infinity
    this.maxPass = 0
    this.lastRefusal = -Infinity
  }

  /** Once a bucket. */
  private learn(pressed: boolean, now: number): void {
    const { window } = this
    const minRtMs = window.minMs(now)
    this.maxPass = window.maxPass(now)
    this.minRtMs = pressed ? Math.min(minRtMs, this.minRtMs) : minRtMs
    // n > 1 and n > L is n ≥ max(2, L + 1).
    this.limit =
      this.maxPass === 0
        ? Infinity
        : Math.max(2, bbrLimit(this.maxPass, this.minRtMs, 1_000 / window.bucketMs) + 1)
  }
}

function reader(use: { read(now: number): number }): UseReader {
  return now => use.read(now)
}

function check(options: Settings): Settings {
  const { windowMs, buckets, cpuThresholdRatio, loopThresholdRatio, coolDownMs } = options
  numberOption('windowMs', windowMs, { min: 0, above: true })
  numberOption('buckets', buckets, { min: 2, integer: true })
  numberOption('cpuThresholdRatio', cpuThresholdRatio, { min: 0 })
  numberOption('loopThresholdRatio', loopThresholdRatio, { min: 0 })
  numberOption('coolDownMs', coolDownMs, { min: 0 })
  return { windowMs, buckets, cpuThresholdRatio, loopThresholdRatio, coolDownMs }
}
