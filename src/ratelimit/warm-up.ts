/**
 * A bucket whose rate begins low after a rest and rises while it is used, for a service with cold caches. After the
 * idea of Guava's SmoothWarmingUp, with time itself as the measure of warmth.
 *
 *   T    interval at the full rate;  B  capacity;  W  how long warming up takes;  F  how much slower cold is
 *   X    how cold the key is: W after a rest, 0 at the full rate; falls by one for each unit of time that is paid
 *        for, rises by one for each unit of rest
 *   TAT  when all that was granted will be paid for
 *
 *   rest          X = min(W, X + (t - TAT)) and TAT = t, where t > TAT
 *   grant c at t  iff   TAT - t <= (B - c) T;   then d = c (T + ceil((F - 1) T X / W)), TAT += d, X = max(0, X - d)
 *
 * Bounds: in every closed interval of length d no more than B + d / T; a caller who takes all he gets has at least
 * 1 / (F T) from the start and the full rate after W. A call of cost c is paid for as cold as the key is when it comes.
 */
import { knownOptions, numberOption } from '../core/options.ts'
import type { Limiter } from './limiter.ts'
import { copyRow, type Rule } from './rule.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'
import { MAX_UNITS, TimeScale, unitsFor } from './time-scale.ts'

export interface WarmUpOptions extends KeyedOptions {
  /** The full rate. */
  readonly ratePerSecond: number
  /** How long steady use takes to get from cold to the full rate, and rest to get back. */
  readonly warmUpMs: number
  /** The most that can be granted at one instant. 0 denies everything. @default one second's worth */
  readonly burst?: number
  /** How many times slower than the full rate the first calls after a rest are. @default 3 */
  readonly coldFactor?: number
}

const own = ['ratePerSecond', 'warmUpMs', 'burst', 'coldFactor']

/** `ratePerSecond`, reached gradually: from `1 / coldFactor` of it after a rest, over `warmUpMs` of use. */
export function warmUp(options: WarmUpOptions): Limiter<WarmUpOptions, LimiterSnapshot> {
  knownOptions('warmUp', options, [...own, ...commonOptions])
  return new SlotLimiter('warm-up', options, own, ({ ratePerSecond, warmUpMs, burst, coldFactor = 3 }) => {
    const rate = numberOption('ratePerSecond', ratePerSecond, { min: 0, above: true, max: 1e6 })
    const capacity = numberOption('burst', burst ?? Math.ceil(rate), { min: 0, max: 1e9, integer: true })
    numberOption('warmUpMs', warmUpMs, { min: 1, max: 1e9 })
    numberOption('coldFactor', coldFactor, { min: 1, max: 100 })
    const interval = unitsFor(1000 / rate, ({ units, perMs }) => {
      const ramp = (coldFactor - 1) * units * warmUpMs * perMs
      return ramp <= MAX_UNITS && 2 * coldFactor * units * Math.max(capacity, 1) <= MAX_UNITS
    })
    if (interval === undefined) {
      throw new RangeError(
        `Expected \`ratePerSecond\`, \`warmUpMs\` and \`burst\` that are not all extreme, got ${rate}, ${warmUpMs} and ${capacity}`,
      )
    }
    const { units, perMs } = interval
    return {
      rule: new WarmUpRule(units, capacity, Math.ceil(warmUpMs * perMs), coldFactor),
      scale: new TimeScale(perMs),
      windowMs: (capacity * units) / perMs,
    }
  })
}

/** Cells: when the key is cold again, TAT, X. */
class WarmUpRule implements Rule {
  readonly limit: number
  readonly width: number
  private readonly interval: number
  private readonly warmUp: number
  /** (F - 1) T */
  private readonly extra: number
  /** The debt, in units of time, that a charge can at most leave. */
  private readonly deepest: number

  constructor(interval: number, capacity: number, warmUp: number, coldFactor: number) {
    this.limit = capacity
    this.width = 3
    this.interval = interval
    this.warmUp = warmUp
    this.extra = (coldFactor - 1) * interval
    this.deepest = Math.ceil(2 * coldFactor * interval * capacity)
  }

  wait(cells: Float64Array, at: number, cost: number, now: number): number {
    return this.owed(cells, at, now) - (this.limit - cost) * this.interval
  }

  room(cells: Float64Array, at: number, now: number): number {
    const left = this.limit * this.interval - this.owed(cells, at, now)
    return left > 0 ? Math.floor(left / this.interval) : 0
  }

  add(cells: Float64Array, at: number, cost: number, now: number): number {
    const cold = this.coldAt(cells, at, now)
    const owed = this.owed(cells, at, now)
    const price = cost * (this.interval + Math.ceil((this.extra * cold) / this.warmUp))
    this.write(cells, at, now + Math.min(owed + price, this.deepest), Math.max(0, cold - price))
    return this.room(cells, at, now)
  }

  /** Given back at the full rate's price, which is the least that it can have been paid at. */
  give(cells: Float64Array, at: number, cost: number, now: number): void {
    const cold = this.coldAt(cells, at, now)
    const owed = this.owed(cells, at, now)
    this.write(cells, at, now + Math.max(0, owed - cost * this.interval), cold)
  }

  copy(cells: Float64Array, from: number, to: number): void {
    copyRow(cells, from, to, this.width)
  }

  /** What has been taken and not come back stays taken, and the key stays as warm as it is. */
  adopt(cells: Float64Array, at: number, now: number, old: WarmUpRule, then: number): void {
    const cold = (old.coldAt(cells, at, then) / old.warmUp) * this.warmUp
    const owed = (old.owed(cells, at, then) / old.interval) * this.interval
    this.write(cells, at, now + Math.min(Math.ceil(owed), this.deepest), Math.ceil(cold))
  }

  private owed(cells: Float64Array, at: number, now: number): number {
    if (cells[at]! <= now) return 0
    const left = cells[at + 1]! - now
    return left > 0 ? left : 0
  }

  private coldAt(cells: Float64Array, at: number, now: number): number {
    if (cells[at]! <= now) return this.warmUp
    const rest = now - cells[at + 1]!
    return rest > 0 ? Math.min(this.warmUp, cells[at + 2]! + rest) : cells[at + 2]!
  }

  private write(cells: Float64Array, at: number, tat: number, cold: number): void {
    cells[at] = tat + this.warmUp - cold
    cells[at + 1] = tat
    cells[at + 2] = cold
  }
}
