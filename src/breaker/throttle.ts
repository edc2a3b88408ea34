/**
 * The adaptive client throttle of Google's SRE book (chapter 21, "Handling Overload"), tuned to recover.
 *
 *   requests  = accepted + failed + overdue + rejectWeight * rejected
 *   rejection = clamp((requests - k * accepted) / (requests + 1), 0, maxRejection)
 *
 * `accepted` calls were answered, `failed` ones were not, `overdue` ones have had no answer for `unansweredMs`,
 * `rejected` ones were kept away here. The formula is taken over the window and over its last `reactMs`, and the
 * larger result counts. A call is rejected with that probability, except that one goes through whenever none
 * has for 1/probesPerSecond.
 *
 * The book counts a rejected call in full (`rejectWeight` 1, and no bound on the rejection). Then nothing gets
 * through a total outage that could notice its end, and the rejections that it made hold the throttle shut for
 * several windows: a minute at 1,000 calls a second and a window of 10 s, where the settings here need 4 s. And while
 * the window is still full of good calls from before the outage it reacts late; hence the second, short look.
 * `docs/breaker.md` has the figures.
 */
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { type Criticality, criticalities } from '../core/criticality.ts'
import { register } from '../core/mechanism.ts'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { Rejection } from '../core/rejection.ts'
import { announceSettings } from '../core/settings.ts'
import { overlay } from '../internal/overlay.ts'
import type { Breaker, CallFacts, Pass, RefusalAdvice, Verdict } from './breaker.ts'
import { plainCall } from './breaker.ts'
import { Evidence, type EvidenceCounts, type EvidenceShape } from './evidence.ts'

export interface ThrottleOptions {
  /** How many calls are let through for each that is accepted, from 1. Less protects more. @default 2 */
  readonly k?: number
  /** @default 10_000 */
  readonly windowMs?: number
  /** How many steps the window moves in. @default 40 */
  readonly buckets?: number
  /** How much of the window is looked at apart, to notice an outage early. @default 1_000 */
  readonly reactMs?: number
  /** With fewer calls than this to go by, none is rejected. @default 20 */
  readonly minRequests?: number
  /** How much a call that was rejected here counts, from 0 to 1. More protects more and recovers later. @default 0.1 */
  readonly rejectWeight?: number
  /** The most that is ever rejected, from 0 to 1. @default 0.98 */
  readonly maxRejection?: number
  /** What goes through in any case, for each class of calls. @default 1 */
  readonly probesPerSecond?: number
  /** A call without an answer for this long counts as not accepted until it is. @default 2_500 */
  readonly unansweredMs?: number
  /** What a rejection tells the caller about trying again. @default 'never' */
  readonly retry?: RefusalAdvice
  /** Names the throttle in refusals; one with a name is listed by `inspect()`. @default 'throttle' */
  readonly name?: string
  /** @default Math.random */
  readonly random?: () => number
  /** Read by `snapshot()` only. @default the process's clock */
  readonly clock?: Clock
}

export interface ThrottleSnapshot {
  /** Calls let through since the last reset. */
  readonly admitted: number
  /** Calls kept away since the last reset. */
  readonly refused: number
  /** Each class of calls that has been seen: what its window holds, and the share of it that is rejected now. */
  readonly classes: Readonly<Partial<Record<Criticality, EvidenceCounts & { readonly rejection: number }>>>
}

type Settings = Required<Omit<ThrottleOptions, 'name' | 'clock'>>

const defaults: Settings = {
  k: 2,
  windowMs: 10_000,
  buckets: 40,
  reactMs: 1_000,
  minRequests: 20,
  rejectWeight: 0.1,
  maxRejection: 0.98,
  probesPerSecond: 1,
  unansweredMs: 2_500,
  retry: 'never',
  random: Math.random,
}

const settingNames = Object.keys(defaults)

/** A throttle in front of one dependency. Classes of calls are judged apart; a lesser one is never better off. */
export function throttle(options: ThrottleOptions = {}): Throttle {
  knownOptions('throttle', options, [...settingNames, 'name', 'clock'])
  const { name, clock = systemClock } = options
  const made = new Throttle(name ?? 'throttle', clock, check(overlay(defaults, options)))
  return name === undefined ? made : register(made)
}

export class Throttle implements Breaker<ThrottleOptions, ThrottleSnapshot> {
  readonly kind = 'throttle'
  readonly name: string
  private readonly clock: Clock
  private settings: Settings
  private shape: EvidenceShape
  private probeGapMs: number
  /** By rank, the most critical first; made when its first call comes. */
  private classes: (Evidence | undefined)[]
  private admitted: number
  private refused: number

  /** @internal Use `throttle`. */
  constructor(name: string, clock: Clock, settings: Settings) {
    this.name = nameOption('name', name)
    this.clock = clock
    this.settings = settings
    this.shape = shapeOf(settings)
    this.probeGapMs = 1_000 / settings.probesPerSecond
    this.classes = criticalities.map(() => undefined)
    this.admitted = 0
    this.refused = 0
  }

  admit(now: number, call: CallFacts = plainCall): Pass | Rejection {
    const rank = ranks[call.criticality]
    const evidence = this.classes[rank] ?? this.open(rank)
    const rejection = this.rejectionOf(rank, now)
    if (rejection > 0 && this.settings.random() < rejection && now - evidence.lastPassAt < this.probeGapMs) {
      evidence.rejected()
      this.refused++
      // A new one for each call: they cost next to nothing, and nobody can write on another call's refusal.
      return new Rejection({ reason: 'throttled', policy: this.name, retry: this.settings.retry })
    }
    this.admitted++
    return new ThrottlePass(evidence, evidence.sent(now))
  }

  canAdmit(now: number, call: CallFacts = plainCall): boolean {
    const rank = ranks[call.criticality]
    const rejection = this.rejectionOf(rank, now)
    if (rejection === 0 || this.settings.random() >= rejection) return true
    const evidence = this.classes[rank]
    return evidence === undefined || now - evidence.lastPassAt >= this.probeGapMs
  }

  holding(_now: number): boolean {
    return false
  }

  /** The probability with which a call of this class is rejected now. */
  rejection(now: number, criticality: Criticality = 'critical'): number {
    return this.rejectionOf(ranks[criticality], now)
  }

  /** Takes effect at once. A change of the window's shape or of `unansweredMs` forgets what has been counted. */
  update(options: Partial<ThrottleOptions>): void {
    knownOptions('throttle.update', options, settingNames)
    this.settings = check(overlay(this.settings, options))
    this.probeGapMs = 1_000 / this.settings.probesPerSecond
    const shape = shapeOf(this.settings)
    if (JSON.stringify(shape) !== JSON.stringify(this.shape)) {
      this.shape = shape
      this.classes = criticalities.map(() => undefined)
    }
    announceSettings(this, options)
  }

  snapshot(): ThrottleSnapshot {
    const now = this.clock.now()
    const classes: Partial<Record<Criticality, EvidenceCounts & { rejection: number }>> = {}
    for (const criticality of criticalities) {
      const evidence = this.classes[ranks[criticality]]
      if (evidence === undefined) continue
      const rejection = this.rejection(now, criticality)
      classes[criticality] = { ...evidence.counts(), rejection }
    }
    return { admitted: this.admitted, refused: this.refused, classes }
  }

  reset(): void {
    this.classes = criticalities.map(() => undefined)
    this.admitted = 0
    this.refused = 0
  }

  private open(rank: number): Evidence {
    const evidence = new Evidence(this.shape)
    this.classes[rank] = evidence
    return evidence
  }

  /** The largest that this class or a more critical one asks for: where those are kept away, so is this. */
  private rejectionOf(rank: number, now: number): number {
    let rejection = 0
    for (let i = 0; i <= rank; i++) {
      const evidence = this.classes[i]
      if (evidence === undefined) continue
      evidence.advance(now)
      if (evidence.calm) continue
      const { k, rejectWeight, minRequests, maxRejection } = this.settings
      rejection = Math.min(maxRejection, Math.max(rejection, evidence.excess(k, rejectWeight, minRequests)))
    }
    return rejection
  }
}

class ThrottlePass implements Pass {
  private readonly evidence: Evidence
  private readonly epoch: number
  private settled: boolean

  constructor(evidence: Evidence, epoch: number) {
    this.evidence = evidence
    this.epoch = epoch
    this.settled = false
  }

  settle(verdict: Verdict, now: number): void {
    if (this.settled) return
    this.settled = true
    const { evidence, epoch } = this
    evidence.advance(now)
    if (verdict === 'success') evidence.accepted(epoch)
    else if (verdict === 'failure') evidence.failed(epoch)
    else evidence.returned(epoch)
  }
}

const ranks: Readonly<Record<Criticality, number>> = {
  'critical-plus': 0,
  critical: 1,
  'sheddable-plus': 2,
  sheddable: 3,
}

function shapeOf({ windowMs, buckets, reactMs, unansweredMs }: Settings): EvidenceShape {
  const bucketMs = windowMs / buckets
  const cover = (ms: number): number => Math.min(buckets, Math.max(1, Math.round(ms / bucketMs)))
  return { bucketMs, buckets, recentBuckets: cover(reactMs), youngBuckets: cover(unansweredMs) }
}

function check(settings: Settings): Settings {
  numberOption('k', settings.k, { min: 1 })
  numberOption('windowMs', settings.windowMs, { min: 0, above: true })
  numberOption('buckets', settings.buckets, { min: 1, max: 1_000, integer: true })
  numberOption('reactMs', settings.reactMs, { min: 0, above: true })
  numberOption('minRequests', settings.minRequests, { min: 0 })
  numberOption('rejectWeight', settings.rejectWeight, { min: 0, max: 1 })
  numberOption('maxRejection', settings.maxRejection, { min: 0, max: 1 })
  numberOption('probesPerSecond', settings.probesPerSecond, { min: 0 })
  numberOption('unansweredMs', settings.unansweredMs, { min: 0, infinite: true })
  choiceOption('retry', settings.retry, ['never', 'elsewhere'])
  functionOption('random', settings.random)
  return settings
}
