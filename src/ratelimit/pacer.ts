/**
 * A leaky bucket as a queue: it makes calls wait until they come at the pace of r a second, instead of refusing them.
 *
 *   T   1 / r;  B   burst, what may go at one instant after a rest
 *   departure of the nth call   d_n = max(arrival, d_(n-1) + T)                  for B = 1
 *                               the first moment at which gcra.ts grants it      in general
 *
 * First come, first served, for each key. A call whose turn would come after `maxWaitMs`, or after its own deadline,
 * is denied at once instead of waiting in vain; one that ends while it waits leaves at once, and everybody behind it
 * moves up. One alarm for each key that somebody waits on, whatever the length of its line.
 *
 * Bound: no more than floor((d + catchUpMs) / T) + B depart in any interval of length d. A timer that rings late by
 * less than `catchUpMs` costs nothing of the rate; what it is late by beyond that is lost, not made up for in a burst.
 */
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import { register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { SlotTable } from '../internal/slot-table.ts'
import { WaitingLine } from '../internal/waiting-line.ts'
import { BlockList } from './block-list.ts'
import { changed, checkCost, checkKey } from './checks.ts'
import { noteBuilt } from './config-checks.ts'
import { bucketPlan, type GcraRule } from './gcra.ts'
import type { Decision, LimitPolicy, RemoteLimiter } from './limiter.ts'
import { rowFor } from './rule.ts'
import { commonOptions, type KeyedOptions, type Plan } from './slot-limiter.ts'

export interface PacerOptions extends KeyedOptions {
  readonly ratePerSecond: number
  /** What may go at one instant after a rest, and the most that one call may cost. @default 1 */
  readonly burst?: number
  /** How many may wait at once, for all keys together. @default 1000 */
  readonly maxQueue?: number
  /** The longest that a call is made to wait. @default 10_000 */
  readonly maxWaitMs?: number
  /** How much of a timer's lateness is made up for. @default 10 */
  readonly catchUpMs?: number
}

export interface PacerSnapshot {
  readonly settings: object
  /** Calls that went, at once or after a wait. */
  readonly allowed: number
  readonly denied: number
  /** Calls that ended while they waited. */
  readonly abandoned: number
  readonly waiting: number
  /** Keys that somebody waits on. */
  readonly lines: number
}

const own = ['ratePerSecond', 'burst', 'maxQueue', 'maxWaitMs', 'catchUpMs']

/** Lets calls go at `ratePerSecond`, and makes them wait for it. */
export function pacer(options: PacerOptions): RemoteLimiter<PacerOptions, PacerSnapshot> {
  knownOptions('pacer', options, [...own, ...commonOptions])
  return new Pacer(options)
}

interface Settings extends Plan<GcraRule> {
  readonly options: PacerOptions
  readonly maxQueue: number
  readonly maxWaitMs: number
  readonly catchUp: number
}

function settingsOf(options: PacerOptions): Settings {
  const { ratePerSecond, burst = 1, maxQueue = 1000, maxWaitMs = 10_000, catchUpMs = 10 } = options
  const rate = numberOption('ratePerSecond', ratePerSecond, { min: 0, above: true })
  const plan = bucketPlan(1000 / rate, numberOption('burst', burst, { min: 1, max: 1e12, integer: true }), 0)
  return {
    ...plan,
    options,
    maxQueue: numberOption('maxQueue', maxQueue, { min: 0, integer: true }),
    maxWaitMs: numberOption('maxWaitMs', maxWaitMs, { min: 0, infinite: true }),
    catchUp: plan.scale.units(numberOption('catchUpMs', catchUpMs, { min: 0 })),
  }
}

type Line = WaitingLine<Decision>

class Pacer implements RemoteLimiter<PacerOptions, PacerSnapshot> {
  readonly immediate: false
  readonly kind: string
  readonly name: string
  private readonly clock: Clock
  private readonly table: SlotTable
  private readonly blocks: BlockList
  private readonly lines: Map<string, Line>
  private settings: Settings
  private waiting: number
  private allowed: number
  private denied: number
  private abandoned: number

  constructor(options: PacerOptions) {
    this.settings = settingsOf(options)
    this.immediate = false
    this.kind = 'pacer'
    this.name = nameOption('name', options.name ?? this.kind)
    this.clock = options.clock ?? systemClock
    const maxKeys = numberOption('maxKeys', options.maxKeys ?? 100_000, {
      min: 1,
      max: 2 ** 24,
      integer: true,
    })
    this.table = new SlotTable(maxKeys, this.settings.rule.width)
    this.blocks = new BlockList(maxKeys, this.table.hash)
    this.lines = new Map()
    this.waiting = 0
    this.allowed = 0
    this.denied = 0
    this.abandoned = 0
    noteBuilt(this.kind, this.name)
    register(this)
  }

  take(key: string, cost: number = 1, context?: Context): Decision | Promise<Decision> {
    const verdict = this.peek(key, cost, context)
    if (!verdict.allowed) {
      this.denied++
      return verdict
    }
    const now = this.settings.scale.read(this.clock.now())
    if (cost === 0 || (!this.lines.has(key) && this.waitOf(key, cost, now) <= 0)) {
      this.allowed++
      if (cost > 0) this.settings.rule.add(this.table.cells, this.rowOf(key, now), cost, now)
      return this.decide(key, true, 0, now)
    }
    return this.queue(key, cost, context)
  }

  /** Whether the call would be let in, at once or after a wait. */
  peek(key: string, cost: number = 1, context?: Context): Decision {
    checkKey(key)
    checkCost(cost)
    const { rule, scale, maxWaitMs, maxQueue } = this.settings
    const now = scale.read(this.clock.now())
    if (cost > rule.limit) return this.decide(key, false, Infinity, now)
    if (cost === 0) {
      const blocked = this.blocks.left(key, now)
      return this.decide(key, blocked === 0, scale.ms(blocked), now)
    }
    const line = this.lines.get(key)
    const waitMs = scale.ms(this.waitOf(key, cost + (line?.cost ?? 0), now))
    if (waitMs === 0 && line === undefined) return this.decide(key, true, 0, now)
    const patience = Math.min(maxWaitMs, context === undefined ? Infinity : context.remainingMs)
    if (waitMs > patience) return this.decide(key, false, waitMs - patience, now)
    if (this.waiting < maxQueue) return this.decide(key, true, 0, now)
    // There is room again when the first one goes.
    const first = scale.ms(this.waitOf(key, line?.first?.cost ?? cost, now))
    return this.decide(key, false, Math.max(first, 1), now)
  }

  refund(key: string, cost: number): void {
    checkKey(key)
    checkCost(cost)
    const { rule, scale } = this.settings
    const now = scale.read(this.clock.now())
    rule.give(this.table.cells, this.find(key), cost, now)
    this.advance(key)
  }

  charge(key: string, cost: number): void {
    checkKey(key)
    checkCost(cost)
    if (cost === 0) return
    const { rule, scale } = this.settings
    const now = scale.read(this.clock.now())
    rule.add(this.table.cells, this.rowOf(key, now), Math.min(cost, 2 * rule.limit), now)
    this.advance(key)
  }

  block(key: string, forMs: number): void {
    checkKey(key)
    numberOption('forMs', forMs, { min: 0, infinite: true })
    const { scale } = this.settings
    const now = scale.read(this.clock.now())
    this.blocks.set(key, now + scale.units(forMs), now)
    this.advance(key)
  }

  policies(): readonly LimitPolicy[] {
    return [{ name: this.name, quota: this.settings.rule.limit, windowMs: this.settings.windowMs }]
  }

  update(partial: Partial<PacerOptions>): void {
    knownOptions('update of pacer', partial, own)
    const { rule: old, scale: earlier, options } = this.settings
    const settings = settingsOf(changed(options, partial))
    const { cells } = this.table
    const now = this.clock.now()
    const then = earlier.read(now)
    settings.scale.follow(earlier)
    const t = settings.scale.read(now)
    const ratio = settings.scale.perMs / earlier.perMs
    this.table.forEach(at => {
      if (cells[at]! > then) settings.rule.adopt(cells, at, t, old, then)
      else cells[at] = 0
    })
    this.blocks.rescale(t, then, ratio)
    this.settings = settings
    this.advanceAll()
    announceSettings(this, partial)
  }

  snapshot(): PacerSnapshot {
    const { clock: _, ...settings } = this.settings.options
    const { allowed, denied, abandoned, waiting } = this
    return { settings, allowed, denied, abandoned, waiting, lines: this.lines.size }
  }

  /** Those who wait go on waiting, in a pacer that is as good as new. */
  reset(): void {
    this.table.clear()
    this.blocks.clear()
    this.allowed = 0
    this.denied = 0
    this.abandoned = 0
    this.advanceAll()
  }

  private queue(key: string, cost: number, context: Context | undefined): Promise<Decision> {
    if (context?.ended) return Promise.reject(context.scope.reason)
    const line = this.lines.get(key) ?? this.open(key)
    const answer = line.join(cost, this.clock.now(), context)
    this.waiting++
    if (line.length === 1) this.advance(key)
    return answer
  }

  private open(key: string): Line {
    const line: Line = new WaitingLine(this.clock, {
      ring: () => this.advance(key),
      onLeave: () => {
        this.waiting--
        this.abandoned++
        this.advance(key)
      },
    })
    this.lines.set(key, line)
    return line
  }

  /** Lets everybody go whose turn it is, and sets the alarm for whoever is first then. */
  private advance(key: string): void {
    const line = this.lines.get(key)
    if (line === undefined) return
    const { rule, scale, catchUp } = this.settings
    const clockNow = this.clock.now()
    const now = scale.read(clockNow)
    for (let first = line.first; first !== undefined; first = line.first) {
      const wait = this.waitOf(key, first.cost, now)
      if (wait > 0) {
        line.wake(clockNow + scale.ms(wait))
        return
      }
      // When it should have gone, so that lateness does not add up: not before it came, nor before its alarm.
      const at = this.rowOf(key, now)
      const due = rule.due(this.table.cells, at, first.cost)
      const earliest = scale.past(Math.max(first.since, line.at))
      rule.add(this.table.cells, at, first.cost, Math.max(due, earliest, now - catchUp))
      this.waiting--
      this.allowed++
      line.serve(this.decide(key, true, 0, now))
    }
    this.lines.delete(key)
  }

  private advanceAll(): void {
    for (const key of [...this.lines.keys()]) this.advance(key)
  }

  private find(key: string): number {
    const print = this.table.hash.of(key)
    const at = this.table.find(print)
    return at < 0 ? this.table.shared(print) : at
  }

  private rowOf(key: string, now: number): number {
    const print = this.table.hash.of(key)
    const at = this.table.find(print)
    return at < 0 ? rowFor(this.table, this.settings.rule, print, now) : at
  }

  /** Units until `cost` may go; below 0 if it might have gone so long ago. */
  private waitOf(key: string, cost: number, now: number): number {
    const wait = this.settings.rule.wait(this.table.cells, this.find(key), cost, now)
    const blocked = this.blocks.left(key, now)
    return blocked > 0 ? Math.max(wait, blocked) : wait
  }

  private decide(key: string, allowed: boolean, retryAfterMs: number, now: number): Decision {
    const { rule, scale } = this.settings
    const at = this.find(key)
    const blocked = this.blocks.left(key, now)
    return {
      allowed,
      limit: rule.limit,
      remaining: blocked > 0 || this.lines.has(key) ? 0 : rule.room(this.table.cells, at, now),
      retryAfterMs,
      resetAfterMs: scale.ms(Math.max(this.table.cells[at]! - now, blocked)),
      policy: this.name,
      source: 'local',
      shadowed: false,
      parts: undefined,
    }
  }
}
