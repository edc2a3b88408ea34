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
import { type Fingerprint, MAX_HASHED_UNITS } from '../internal/key-hash.ts'
import { SlotTable } from '../internal/slot-table.ts'
import { BlockList } from './block-list.ts'
import { checkCost, checkKey } from './checks.ts'
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
  private lastKey: string
  private lastPrint: Fingerprint

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
    this.lastKey = ''
    this.lastPrint = this.table.hash.of('')
    noteBuilt(kind, this.name)
    register(this)
  }

  take(key: string, cost: number = 1, now: number = this.clock.now()): Decision {
    checkKey(key)
    checkCost(cost)
    const { rule, table, scale } = this
    const t = scale.read(now)
    const print = this.printOf(key)
    const own = table.find(print)
    const from = own < 0 ? table.shared(print) : own
    const wait = this.waitFor(print, from, cost, t)
    if (wait > 0) {
      this.denied++
      if (wait === Infinity) this.never++
      return this.decide(from, wait, print, t)
    }
    this.allowed++
    if (cost === 0) return this.decide(from, 0, print, t)
    const to = own < 0 ? rowFor(table, rule, print, t) : own
    rule.add(table.cells, to, cost, t)
    return this.decide(to, 0, print, t)
  }

  peek(key: string, cost: number = 1, now: number = this.clock.now()): Decision {
    checkKey(key)
    checkCost(cost)
    const t = this.scale.read(now)
    const print = this.printOf(key)
    const own = this.table.find(print)
    const from = own < 0 ? this.table.shared(print) : own
    return this.decide(from, this.waitFor(print, from, cost, t), print, t)
  }

  refund(key: string, cost: number, now: number = this.clock.now(), takenAt: number = now): void {
    checkKey(key)
    checkCost(cost)
    const { table, scale } = this
    const t = scale.read(now)
    const print = this.printOf(key)
    const own = table.find(print)
    const at = own < 0 ? table.shared(print) : own
    if (table.cells[at]! > t) this.rule.give(table.cells, at, cost, t, scale.past(takenAt))
  }

  charge(key: string, cost: number, now: number = this.clock.now()): void {
    checkKey(key)
    checkCost(cost)
    const { table, rule } = this
    const t = this.scale.read(now)
    const print = this.printOf(key)
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
    const options = { ...this.options, ...partial }
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

  /** The same key often comes several times in a row, and there may be only one. */
  private printOf(key: string): Fingerprint {
    if (key === this.lastKey) return this.lastPrint
    const print = this.table.hash.of(key)
    if (key.length <= MAX_HASHED_UNITS) {
      this.lastKey = key
      this.lastPrint = print
    }
    return print
  }

  /** Units until `cost` would be granted; 0 for now, `Infinity` for never. */
  private waitFor(print: number, at: number, cost: number, now: number): number {
    const { rule, blocks } = this
    if (cost > rule.limit || rule.limit === 0) return Infinity
    const wait = cost === 0 ? 0 : rule.wait(this.table.cells, at, cost, now)
    const blocked = blocks.leftOf(print, now)
    return wait > blocked ? wait : blocked
  }

  private decide(at: number, wait: number, print: number, now: number): Decision {
    const { rule, scale, blocks } = this
    const { cells } = this.table
    const reset = cells[at]! - now
    const blocked = blocks.leftOf(print, now)
    return {
      allowed: wait <= 0,
      limit: rule.limit,
      remaining: blocked > 0 ? 0 : rule.room(cells, at, now),
      retryAfterMs: scale.ms(wait),
      resetAfterMs: scale.ms(reset > blocked ? reset : blocked),
      policy: this.name,
      source: 'local',
      shadowed: false,
      parts: undefined,
    }
  }
}

function policyOf(name: string, { limit }: Rule, windowMs: number): readonly LimitPolicy[] {
  return [{ name, quota: limit, windowMs }]
}
