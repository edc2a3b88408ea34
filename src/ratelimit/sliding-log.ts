/**
 * Remembers each grant of the last W, and so is exact.
 *
 *   grant cost c at t   iff   (costs granted in (t - W, t]) + c <= L
 *
 * Bound: no more than L in every interval of length W, and nobody waits longer than that takes. The price is memory:
 * up to L entries of 16 bytes for each key in use, so `maxKeys` is 10,000 unless you say otherwise.
 */
import { knownOptions, numberOption } from '../core/options.ts'
import { windowUnits } from './fixed-window.ts'
import type { Limiter } from './limiter.ts'
import type { Rule } from './rule.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'
import { TimeScale } from './time-scale.ts'

export interface SlidingLogOptions extends KeyedOptions {
  /** How much in every interval of `windowMs`; a key takes up to 16 bytes for each. 0 denies everything. */
  readonly limit: number
  readonly windowMs: number
  /** How many keys in use at once have state of their own. Fixed for life. @default 10_000 */
  readonly maxKeys?: number
}

const own = ['limit', 'windowMs']

/** Up to `limit` in any `windowMs`, exactly. */
export function slidingLog(options: SlidingLogOptions): Limiter<SlidingLogOptions, LimiterSnapshot> {
  knownOptions('slidingLog', options, [...own, ...commonOptions])
  const logs = new LogStore()
  return new SlotLimiter(
    'sliding-log',
    { ...options, maxKeys: options.maxKeys ?? 10_000 },
    own,
    ({ limit, windowMs }) => {
      numberOption('limit', limit, { min: 0, max: 1_000_000, integer: true })
      const { units, perMs } = windowUnits(windowMs)
      return { rule: new SlidingLogRule(limit, units, logs), scale: new TimeScale(perMs), windowMs }
    },
  )
}

/** One key's grants, the oldest first, in a ring that grows as it needs to. */
class Log {
  /** Pairs of time and cost. */
  entries: Float64Array
  first: number
  length: number
  sum: number

  constructor() {
    this.entries = new Float64Array(8)
    this.first = 0
    this.length = 0
    this.sum = 0
  }

  /** Where the `i`th entry lies. */
  at(i: number): number {
    return 2 * ((this.first + i) % (this.entries.length / 2))
  }

  /** Drops what was granted at `until` or before. */
  forget(until: number): void {
    while (this.length > 0) {
      const at = this.at(0)
      if (this.entries[at]! > until) return
      this.sum -= this.entries[at + 1]!
      this.first = at / 2 + 1 === this.entries.length / 2 ? 0 : this.first + 1
      this.length--
    }
  }

  push(time: number, cost: number): void {
    this.sum += cost
    if (this.length > 0) {
      const last = this.at(this.length - 1)
      if (this.entries[last] === time) {
        this.entries[last + 1]! += cost
        return
      }
    }
    if (2 * this.length === this.entries.length) this.resize(2 * this.entries.length)
    const at = this.at(this.length++)
    this.entries[at] = time
    this.entries[at + 1] = cost
  }

  clear(): void {
    this.first = 0
    this.length = 0
    this.sum = 0
  }

  assign(other: Log): void {
    this.entries = other.entries.slice()
    this.first = other.first
    this.length = other.length
    this.sum = other.sum
  }

  private resize(size: number): void {
    const entries = new Float64Array(size)
    for (let i = 0; i < this.length; i++) {
      entries[2 * i] = this.entries[this.at(i)]!
      entries[2 * i + 1] = this.entries[this.at(i) + 1]!
    }
    this.entries = entries
    this.first = 0
  }
}

/** The logs of all keys; a row names its log by a number from 1 up. */
class LogStore {
  readonly logs: Log[] = []
}

/** Cells: when all is forgotten, the number of the log. A row keeps its log when it goes to another key. */
class SlidingLogRule implements Rule {
  readonly limit: number
  readonly width: number
  private readonly window: number
  private readonly store: LogStore

  constructor(limit: number, window: number, store: LogStore) {
    this.limit = limit
    this.width = 2
    this.window = window
    this.store = store
  }

  wait(cells: Float64Array, at: number, cost: number, now: number): number {
    if (cells[at]! <= now) return 0
    const log = this.logOf(cells, at)
    log.forget(now - this.window)
    let sum = log.sum
    let last = -1
    while (sum + cost > this.limit) sum -= log.entries[log.at(++last) + 1]!
    return last < 0 ? 0 : log.entries[log.at(last)]! + this.window - now
  }

  room(cells: Float64Array, at: number, now: number): number {
    if (cells[at]! <= now) return this.limit
    const log = this.logOf(cells, at)
    log.forget(now - this.window)
    return Math.max(0, this.limit - log.sum)
  }

  add(cells: Float64Array, at: number, cost: number, now: number): number {
    const log = this.logOf(cells, at)
    if (cells[at]! <= now) log.clear()
    log.forget(now - this.window)
    const taken = Math.min(cost, 2 * this.limit - log.sum)
    if (taken <= 0) return 0
    log.push(now, taken)
    cells[at] = now + this.window
    return Math.max(0, this.limit - log.sum)
  }

  /** Takes the cost out of the entry of that moment, if it has not left the window. */
  give(cells: Float64Array, at: number, cost: number, now: number, takenAt: number): void {
    const log = this.logOf(cells, at)
    log.forget(now - this.window)
    for (let i = log.length - 1; i >= 0; i--) {
      const entry = log.at(i)
      if (log.entries[entry]! > takenAt) continue
      if (log.entries[entry] !== takenAt) return
      const given = Math.min(cost, log.entries[entry + 1]!)
      log.entries[entry + 1]! -= given
      log.sum -= given
      break
    }
    // Entries of nothing at the new end would keep the key looking used.
    while (log.length > 0 && log.entries[log.at(log.length - 1) + 1] === 0) log.length--
    cells[at] = log.length === 0 ? 0 : log.entries[log.at(log.length - 1)]! + this.window
  }

  copy(cells: Float64Array, from: number, to: number): void {
    cells[to] = cells[from]!
    this.logOf(cells, to).assign(this.logOf(cells, from))
  }

  adopt(
    cells: Float64Array,
    at: number,
    now: number,
    old: SlidingLogRule,
    then: number,
    ratio: number,
  ): void {
    const log = this.logOf(cells, at)
    log.forget(then - old.window)
    for (let i = 0; i < log.length; i++) {
      const entry = log.at(i)
      // Never older than it is, so that nothing is forgotten before its time.
      log.entries[entry] = now - Math.floor((then - log.entries[entry]!) * ratio)
    }
    cells[at] = log.length === 0 ? 0 : log.entries[log.at(log.length - 1)]! + this.window
  }

  clear(): void {
    this.store.logs.length = 0
  }

  private logOf(cells: Float64Array, at: number): Log {
    const { logs } = this.store
    const number = cells[at + 1]!
    if (number > 0) return logs[number - 1]!
    const log = new Log()
    cells[at + 1] = logs.push(log)
    return log
  }
}
