/**
 * One switch, and which calls it concerns.
 *
 *   setting   { level, percent, criticality }: the calls of that criticality and below, and of them the part whose
 *             key has hash(key) / 2^31 < percent / 100, are served at `level`; all others in full, at level 0
 *   sources   manual, as long as it lasts; else automatic, if its level is above 0; else the default
 *   ramp      where a new setting gives calls more than the old one did, those calls return over rampMs:
 *             level = max(new, old with percent * (1 - elapsed / rampMs))
 *   automatic one level up when load >= enterAt, one down when load <= exitAt, and dwellMs at least between two steps
 *
 * A key that has returned stays returned: for each key the hash is fixed and the part only shrinks.
 */
import { type Criticality, criticalities } from '../core/criticality.ts'
import { warn } from '../core/warn.ts'

/** How much is left out, and for whom. */
export interface SwitchSetting {
  /** 0 for full service; the higher, the less is done. */
  readonly level: number
  /** Which part of the calls, by their key, 0 to 100. @default 100 */
  readonly percent?: number
  /** The most important class that is concerned; those below it are too. @default 'critical-plus', which is all */
  readonly criticality?: Criticality
}

export interface AutomaticSwitch {
  /** How busy the service is, on any scale. Asked at most every `sampleMs`, when a call asks for the switch. */
  readonly load: () => number
  /** One level more is left out from this load on. */
  readonly enterAt: number
  /** One level less is left out when the load is down to this. Lower than `enterAt`. */
  readonly exitAt: number
  /** Time between two steps, at least. @default 5000 */
  readonly dwellMs?: number
  /** @default 100 */
  readonly sampleMs?: number
  /** Which part of the calls is concerned. @default 100 */
  readonly percent?: number
  /** The most important class that is concerned. @default 'critical-plus' */
  readonly criticality?: Criticality
}

/** What a switch is made of, checked and complete. */
export interface CellOptions {
  readonly levels: number
  readonly rampMs: number
  readonly default: Required<SwitchSetting>
  readonly automatic: Required<AutomaticSwitch> | undefined
}

/** Where the setting in force comes from. */
export type SwitchSource = 'manual' | 'automatic' | 'default'

/** Hashes have 31 bits, so that they are small integers. */
const HASHES = 2 ** 31
/** A ramp moves in this many steps. */
const RAMP_STEPS = 256

/** A setting in the form in which calls are held against it. */
interface Rule {
  readonly level: number
  readonly threshold: number
  readonly rank: number
}

const FULL: Rule = { level: 0, threshold: 0, rank: 0 }

export class SwitchCell {
  options: CellOptions
  /** The setting in force, and where it comes from. */
  setting: Required<SwitchSetting>
  source: SwitchSource
  manualUntil: number
  /** How often a call was told of a level above 0. */
  degraded: number
  private readonly seed: number
  private readonly changed: (cell: SwitchCell, from: Required<SwitchSetting>) => void
  private manual: Required<SwitchSetting> | undefined
  private automaticLevel: number
  private steppedAt: number
  private sampleAt: number
  private rule: Rule
  /** What is still being returned from, and since when. */
  private old: Rule
  private oldSince: number
  private oldThreshold: number
  /** Nothing changes by itself before this. */
  private wakeAt: number

  constructor(
    name: string,
    options: CellOptions,
    changed: (cell: SwitchCell, from: Required<SwitchSetting>) => void,
  ) {
    this.options = options
    this.setting = options.default
    this.source = 'default'
    this.manualUntil = Infinity
    this.degraded = 0
    this.seed = hash(name, 0x811c9dc5)
    this.changed = changed
    this.manual = undefined
    this.automaticLevel = 0
    this.steppedAt = -Infinity
    this.sampleAt = -Infinity
    this.rule = ruleOf(options.default)
    this.old = FULL
    this.oldSince = 0
    this.oldThreshold = 0
    this.wakeAt = -Infinity
  }

  /** The level at which a call of this rank and key is served. Without a key, `random` stands in for its hash. */
  level(now: number, rank: number, key: string | undefined, random: () => number): number {
    if (now >= this.wakeAt) this.refresh(now)
    const { rule, old } = this
    if (rule.level === 0 && old.level === 0) return 0
    const hashed = key === undefined ? random() * HASHES : hash(key, this.seed)
    let level = rank >= rule.rank && hashed < rule.threshold ? rule.level : 0
    if (old.level > level && rank >= old.rank && hashed < this.oldThreshold) level = old.level
    if (level > 0) this.degraded++
    return level
  }

  set(setting: Required<SwitchSetting> | undefined, until: number, now: number): void {
    this.manual = setting
    this.manualUntil = until
    this.refresh(now)
  }

  /** Takes other options, from now on. */
  change(options: CellOptions, now: number): void {
    this.options = options
    this.automaticLevel = options.automatic === undefined ? 0 : Math.min(this.automaticLevel, options.levels)
    this.refresh(now)
  }

  reset(now: number): void {
    this.degraded = 0
    this.automaticLevel = 0
    this.steppedAt = -Infinity
    this.sampleAt = -Infinity
    this.old = FULL
    this.refresh(now)
    this.old = FULL
  }

  /** Finds out what is in force at `now`, and until when that can be relied on. */
  refresh(now: number): void {
    const { automatic } = this.options
    if (this.manual !== undefined && now >= this.manualUntil) this.manual = undefined
    if (this.manual === undefined) this.manualUntil = Infinity
    if (automatic !== undefined && now >= this.sampleAt) this.sample(automatic, now)
    this.decide(now)
    let wakeAt = Math.min(this.manualUntil, automatic === undefined ? Infinity : this.sampleAt)
    if (this.old !== FULL) wakeAt = Math.min(wakeAt, this.fade(now))
    this.wakeAt = wakeAt
  }

  private sample({ load, enterAt, exitAt, dwellMs, sampleMs }: Required<AutomaticSwitch>, now: number): void {
    this.sampleAt = now + sampleMs
    if (now - this.steppedAt < dwellMs) return
    let value = Number.NaN
    try {
      value = load()
    } catch (error) {
      // What cannot be told moves nothing, and no call fails for it.
      warn('SPILLWAY_LOAD_FAILED', `The load of an automatic switch threw: ${String(error)}`)
    }
    const step = value >= enterAt ? 1 : value <= exitAt ? -1 : 0
    const level = Math.min(this.options.levels, Math.max(0, this.automaticLevel + step))
    if (level === this.automaticLevel) return
    this.automaticLevel = level
    this.steppedAt = now
  }

  private decide(now: number): void {
    const { automatic, default: otherwise, levels, rampMs } = this.options
    let setting = otherwise
    this.source = 'default'
    if (this.manual !== undefined) {
      setting = { ...this.manual, level: Math.min(this.manual.level, levels) }
      this.source = 'manual'
    } else if (this.automaticLevel > 0) {
      const { percent, criticality } = automatic!
      setting = { level: this.automaticLevel, percent, criticality }
      this.source = 'automatic'
    }
    const from = this.setting
    if (isSame(from, setting)) return
    this.setting = setting
    if (rampMs > 0) this.startRamp(now)
    this.rule = ruleOf(setting)
    this.changed(this, from)
  }

  /** What has been in force is returned from. Of two things to return from, the one that leaves out more counts. */
  private startRamp(now: number): void {
    const { rule, old } = this
    const isMore = rule.level > old.level || (rule.level === old.level && rule.threshold >= this.oldThreshold)
    if (!isMore) return
    this.old = rule
    this.oldSince = now
    this.oldThreshold = rule.threshold
  }

  /** Moves the ramp to where it is at `now`; returns when it moves next. */
  private fade(now: number): number {
    const { rampMs } = this.options
    const elapsed = now - this.oldSince
    if (elapsed >= rampMs) {
      this.old = FULL
      this.oldThreshold = 0
      return Infinity
    }
    this.oldThreshold = this.old.threshold * (1 - elapsed / rampMs)
    return now + rampMs / RAMP_STEPS
  }
}

function ruleOf({ level, percent, criticality }: Required<SwitchSetting>): Rule {
  if (level === 0 || percent === 0) return FULL
  return { level, threshold: (percent / 100) * HASHES, rank: criticalities.indexOf(criticality) }
}

function isSame(a: Required<SwitchSetting>, b: Required<SwitchSetting>): boolean {
  return a.level === b.level && a.percent === b.percent && a.criticality === b.criticality
}

/** FNV-1a, with the finish of MurmurHash3, because FNV alone leaves keys that differ at the end close together. */
function hash(text: string, seed: number): number {
  let h = seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) & (HASHES - 1)
}
