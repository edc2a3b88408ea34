/**
 * A limiter for very many keys: one rule, and one row of a slot table for each key.
 *
 * A key that is as good as new needs no row, so only keys that used some of their limit lately hold one, and a row
 * whose key is as good as new is given to the next key that needs one. When more than `maxKeys` keys are in use at
 * once, the ones that come last share rows: each shared row is one limit for all keys that fall on it. A key that
 * gets a row of its own afterwards begins with what was used of the shared one. So no key is ever granted more than
 * its limit, no key in use loses its state, and memory stays what it was at construction.
 */
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import type { Fingerprint } from '../internal/key-hash.ts'
import { SlotTable } from '../internal/slot-table.ts'
import { BlockList } from './block-list.ts'
import { changed, checkCost, checkKey } from './checks.ts'
import { noteBuilt } from './config-checks.ts'
import type { Decision, Limiter, LimitPolicy } from './limiter.ts'
import { type Rule, rowFor } from './rule.ts'
import type { TimeScale } from './time-scale.ts'

export interface KeyedOptions {
  /** Names the limit in refusals, in header fields and in metrics. @default the algorithm's name */
  readonly name?: string
  /** @default the process's clock */
  readonly clock?: Clock
  /** How many keys in use at once have state of their own. Fixed for life. @default 100_000 */
  readonly maxKeys?: number
}

/** The options that every keyed limiter has. */
export const commonOptions: readonly string[] = ['name', 'clock', 'maxKeys']

export interface LimiterSnapshot {
  /** The options in force. */
  readonly settings: object
  /** Decisions so far, by how they came out. `never` counts what no waiting would have helped; denied has it too. */
  readonly allowed: number
  readonly denied: number
  readonly never: number
  /** Rows that hold or held a key, of so many. */
  readonly keys: number
  readonly maxKeys: number
  /** Rows that were given from a key that was as good as new to another. */
  readonly reused: number
  /** Grants that were counted on a shared row, because more than `maxKeys` keys were in use. */
  readonly overflowed: number
  /** Keys that have been blocked by hand. */
  readonly blocked: number
}

/** What the options of a limiter come to. */
export interface Plan<R extends Rule = Rule> {
  readonly rule: R
  readonly scale: TimeScale
  readonly windowMs: number
}

export class SlotLimiter<Options extends KeyedOptions> implements Limiter<Options, LimiterSnapshot> {
  readonly immediate: true
  readonly kind: string
  readonly name: string
  readonly clock: Clock
  private readonly table: SlotTable
  private readonly own: readonly string[]
  private readonly build: (options: Options) => Plan
  private options: Options
  private rule: Rule
  private scale: TimeScale
  private promise: readonly LimitPolicy[]
  private readonly blocks: BlockList
  private allowed: number
  private denied: number
  private never: number

  /** @param own the options that are not common to all, which are the ones that `update` can change */
  constructor(kind: string, options: Options, own: readonly string[], build: (options: Options) => Plan) {
    const { rule, scale, windowMs } = build(options)
    this.immediate = true
    this.kind = kind
    this.name = nameOption('name', options.name ?? kind)
    this.clock = options.clock ?? systemClock
    const maxKeys = numberOption('maxKeys', options.maxKeys ?? 100_000, {
      min: 1,
      max: 2 ** 24,
      integer: true,
    })
    this.table = new SlotTable(maxKeys, rule.width)
    this.own = own
    this.build = build
    this.options = options
    this.rule = rule
    this.scale = scale
    this.promise = policyOf(this.name, rule, windowMs)
    this.blocks = new BlockList(maxKeys, this.table.hash)
    this.allowed = 0
    this.denied = 0
    this.never = 0
    noteBuilt(kind, this.name)
    register(this)
  }

  take(key: string, cost: number = 1, now?: number): Decision {
    checkKey(key)
    if (cost !== 1) checkCost(cost)
    const { rule, table } = this
    const { cells } = table
    const print = table.hash.of(key)
    // After the key, not before: reading the clock makes the processor wait for the row of the call before, which can
    // come from memory while this key is hashed.
    const t = this.scale.read(now ?? this.clock.now())
    let at = table.find(print)
    const owned = at >= 0
    if (!owned) at = table.shared(print)
    const wait = cost > rule.limit ? Infinity : rule.wait(cells, at, cost, t)
    if (wait > 0 || cost === 0 || this.blocks.count > 0) {
      const decision = this.judge(at, print, cost, wait, t)
      if (!decision.allowed || cost === 0) return this.counted(decision)
    }
    if (!owned) at = rowFor(table, rule, print, t)
    const remaining = rule.add(cells, at, cost, t)
    this.allowed++
    // With its fields in the order of those that `judge` makes, so that all decisions have one shape.
    return {
      allowed: true,
      limit: rule.limit,
      remaining,
      retryAfterMs: 0,
      resetAfterMs: this.scale.ms(cells[at]! - t),
      policy: this.name,
      source: 'local',
      shadowed: false,
      parts: undefined,
    }
  }

  peek(key: string, cost: number = 1, now: number = this.clock.now()): Decision {
    checkKey(key)
    checkCost(cost)
    const { rule, table } = this
    const t = this.scale.read(now)
    const print = table.hash.of(key)
    const own = table.find(print)
    const at = own < 0 ? table.shared(print) : own
    return this.judge(at, print, cost, cost > rule.limit ? Infinity : rule.wait(table.cells, at, cost, t), t)
  }

  refund(key: string, cost: number, now: number = this.clock.now(), takenAt: number = now): void {
    checkKey(key)
    checkCost(cost)
    const { table, scale } = this
    const t = scale.read(now)
    const print = table.hash.of(key)
    const own = table.find(print)
    const at = own < 0 ? table.shared(print) : own
    if (table.cells[at]! > t) this.rule.give(table.cells, at, cost, t, scale.past(takenAt))
  }

  charge(key: string, cost: number, now: number = this.clock.now()): void {
    checkKey(key)
    checkCost(cost)
    if (cost === 0) return
    const { table, rule } = this
    const t = this.scale.read(now)
    const print = table.hash.of(key)
    const own = table.find(print)
    const at = own < 0 ? rowFor(table, rule, print, t) : own
    rule.add(table.cells, at, Math.min(cost, 2 * rule.limit), t)
  }

  block(key: string, forMs: number, now: number = this.clock.now()): void {
    checkKey(key)
    numberOption('forMs', forMs, { min: 0, infinite: true })
    const t = this.scale.read(now)
    this.blocks.set(key, t + this.scale.units(forMs), t)
  }

  policies(): readonly LimitPolicy[] {
    return this.promise
  }

  update(partial: Partial<Options>): void {
    knownOptions(`update of ${this.kind}`, partial, this.own)
    const options = changed(this.options, partial)
    const { rule, scale, windowMs } = this.build(options)
    const { rule: old, scale: earlier, table } = this
    const now = this.clock.now()
    const then = earlier.read(now)
    scale.follow(earlier)
    const t = scale.read(now)
    const ratio = scale.perMs / earlier.perMs
    table.forEach(at => {
      if (table.cells[at]! > then) rule.adopt(table.cells, at, t, old, then, ratio)
      else table.cells[at] = 0
    })
    this.blocks.rescale(t, then, ratio)
    this.options = options
    this.rule = rule
    this.scale = scale
    this.promise = policyOf(this.name, rule, windowMs)
    announceSettings(this, partial)
  }

  snapshot(): LimiterSnapshot {
    const { clock: _, ...settings } = this.options
    return {
      settings,
      allowed: this.allowed,
      denied: this.denied,
      never: this.never,
      keys: this.table.used,
      maxKeys: this.table.maxKeys,
      reused: this.table.reused,
      overflowed: this.table.full,
      blocked: this.blocks.count,
    }
  }

  reset(): void {
    this.table.clear()
    this.rule.clear?.()
    this.blocks.clear()
    this.allowed = 0
    this.denied = 0
    this.never = 0
  }

  /** The decision before anything is taken, from what the rule says and whether the key is blocked. */
  private judge(at: number, print: Fingerprint, cost: number, wait: number, now: number): Decision {
    const { rule, scale, table } = this
    const blocked = this.blocks.leftOf(print, now)
    if (cost === 0) wait = rule.limit === 0 ? Infinity : 0
    const longest = wait > blocked ? wait : blocked
    const reset = table.cells[at]! - now
    return {
      allowed: longest <= 0,
      limit: rule.limit,
      remaining: blocked > 0 ? 0 : rule.room(table.cells, at, now),
      retryAfterMs: scale.ms(longest),
      resetAfterMs: scale.ms(reset > blocked ? reset : blocked),
      policy: this.name,
      source: 'local',
      shadowed: false,
      parts: undefined,
    }
  }

  private counted(decision: Decision): Decision {
    if (decision.allowed) this.allowed++
    else this.denied++
    if (decision.retryAfterMs === Infinity) this.never++
    return decision
  }
}

function policyOf(name: string, { limit }: Rule, windowMs: number): readonly LimitPolicy[] {
  return [{ name, quota: limit, windowMs }]
}
