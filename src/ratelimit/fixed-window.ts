/**
 * Counts up to L in a window of length W, then begins again at 0.
 *
 *   anchor 'first-call'   a key's window begins with the first call that finds none open
 *   anchor 'clock'        windows begin at multiples of W on the clock, for all keys at the same moment
 *
 * Bound: no more than L in each window, and so no more than 2 L in any interval of length W: the end of one window
 * and the beginning of the next may lie close together. Where that matters, use `slidingWindow`.
 */
import { choiceOption, knownOptions, numberOption } from '../core/options.ts'
import type { Limiter } from './limiter.ts'
import { copyRow, type Rule } from './rule.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'
import { MAX_UNITS, TimeScale, unitsFor } from './time-scale.ts'

export interface FixedWindowOptions extends KeyedOptions {
  /** How much in each window. 0 denies everything. */
  readonly limit: number
  readonly windowMs: number
  /** When windows begin. With `clock` everybody who was denied comes back at the same moment. @default 'first-call' */
  readonly anchor?: 'first-call' | 'clock'
}

const own = ['limit', 'windowMs', 'anchor']

/** Up to `limit` in each `windowMs`. */
export function fixedWindow(options: FixedWindowOptions): Limiter<FixedWindowOptions, LimiterSnapshot> {
  knownOptions('fixedWindow', options, [...own, ...commonOptions])
  return new SlotLimiter('fixed-window', options, own, ({ limit, windowMs, anchor = 'first-call' }) => {
    numberOption('limit', limit, { min: 0, max: 1e12, integer: true })
    const { units, perMs } = windowUnits(windowMs)
    const aligned = choiceOption('anchor', anchor, ['first-call', 'clock']) === 'clock'
    return {
      rule: new FixedWindowRule(limit, units, aligned),
      scale: new TimeScale(perMs, aligned ? { alignMs: windowMs } : {}),
      windowMs,
    }
  })
}

/** A window as units; throws for one that no clock could count. */
export function windowUnits(windowMs: number): { readonly units: number; readonly perMs: number } {
  numberOption('windowMs', windowMs, { min: 1e-3, max: 1e13 })
  return unitsFor(windowMs, ({ units }) => units <= MAX_UNITS) as { units: number; perMs: number }
}

/** Cells: the end of the window, what was taken in it. */
class FixedWindowRule implements Rule {
  readonly limit: number
  readonly width: number
  private readonly window: number
  private readonly aligned: boolean

  constructor(limit: number, window: number, aligned: boolean) {
    this.limit = limit
    this.width = 2
    this.window = window
    this.aligned = aligned
  }

  wait(cells: Float64Array, at: number, cost: number, now: number): number {
    const left = cells[at]! - now
    return left > 0 && cells[at + 1]! + cost > this.limit ? left : 0
  }

  room(cells: Float64Array, at: number, now: number): number {
    if (cells[at]! <= now) return this.limit
    const left = this.limit - cells[at + 1]!
    return left > 0 ? left : 0
  }

  add(cells: Float64Array, at: number, cost: number, now: number): number {
    if (cells[at]! <= now) {
      cells[at] = this.endOf(now)
      cells[at + 1] = 0
    }
    const count = cells[at + 1]! + cost
    const most = 2 * this.limit
    cells[at + 1] = count < most ? count : most
    return count < this.limit ? this.limit - count : 0
  }

  /** A window that is over took its counts with it: giving them back to the next one would let too much through. */
  give(cells: Float64Array, at: number, cost: number, _now: number, takenAt: number): void {
    if (takenAt < cells[at]! - this.window) return
    const count = cells[at + 1]! - cost
    cells[at + 1] = count > 0 ? count : 0
    if (count <= 0) cells[at] = 0
  }

  copy(cells: Float64Array, from: number, to: number): void {
    copyRow(cells, from, to, this.width)
  }

  /** What was counted in the window that is open stays counted, for as long as the window would now last. */
  adopt(
    cells: Float64Array,
    at: number,
    now: number,
    old: FixedWindowRule,
    then: number,
    ratio: number,
  ): void {
    const open = Math.floor((then - (cells[at]! - old.window)) * ratio)
    cells[at] = this.aligned ? this.endOf(now) : now - open + this.window
    cells[at + 1] = Math.min(cells[at + 1]!, 2 * this.limit)
  }

  private endOf(now: number): number {
    return this.aligned ? (Math.floor(now / this.window) + 1) * this.window : now + this.window
  }
}
