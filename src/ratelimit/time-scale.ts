/**
 * Time in whole units, so that a limiter counts exactly.
 *
 *   unit    1 / perMs milliseconds, chosen so that the limiter's own interval is a whole number of units
 *   t       floor((now - origin) * perMs), from the first reading of the clock; never goes back
 *
 * A double that holds an absolute time loses the small end: at 3 million a second, intervals added to epoch
 * milliseconds end up a third too short. Whole units below 2^53 lose nothing. Readings are rounded once each, down,
 * and no rounding adds up.
 */

/** Finest unit: 2^53 of them are 8.7 years. */
const MAX_PER_MS = 32_768
/** The largest number of units that a limiter may compute with. */
export const MAX_UNITS: number = 2 ** 52
/** A clock reading in units beyond this is no time. */
const LATEST = Number.MAX_SAFE_INTEGER
/** A reading this much short of a unit counts as that unit: `now + retryAfterMs` must not miss by a rounding. */
const EPSILON = 1 / 16

/** A duration as `units` of `1 / perMs` milliseconds. */
export interface Duration {
  readonly units: number
  readonly perMs: number
}

/**
 * The unit for a limiter that counts in intervals of `ms`. The interval is exact if it is a fraction with a
 * denominator up to 32,768, as 1000 / 3 is, and otherwise rounded up by less than one part in a thousand of it.
 *
 * @param fits whether the limiter's largest numbers stay exact with this many units a millisecond
 */
export function unitsFor(ms: number, fits: (duration: Duration) => boolean): Duration | undefined {
  const [numerator, denominator] = fractionFrom(ms)
  for (const finer of [1000, 100, 10, 1]) {
    const duration = { units: numerator * finer, perMs: denominator * finer }
    if ((finer === 1 || duration.perMs <= MAX_PER_MS) && fits(duration)) return duration
  }
  return undefined
}

/** The closest fraction that is not below `x`, with a small denominator: a walk down the Stern-Brocot tree. */
function fractionFrom(x: number): [numerator: number, denominator: number] {
  const tolerance = x * 2 ** -48
  let [lowN, lowD] = [Math.floor(x), 1]
  if (x - lowN <= tolerance) return [lowN, 1]
  let [highN, highD] = [lowN + 1, 1]
  for (;;) {
    if (highN / highD - x <= tolerance) return [highN, highD]
    // As far as the lower end can go without passing x, then as far as the upper end can.
    const up = Math.floor((x * lowD - lowN) / (highN - x * highD))
    lowN += up * highN
    lowD += up * highD
    if (lowD > MAX_PER_MS) return [highN, highD]
    if (Math.abs(x - lowN / lowD) <= tolerance) return [lowN, lowD]
    const down = Math.max(1, Math.floor((highN - x * highD) / (x * lowD - lowN)))
    const room = Math.floor((MAX_PER_MS - highD) / lowD)
    if (room < 1) return [highN, highD]
    const steps = Math.min(down, room)
    highN += steps * lowN
    highD += steps * lowD
  }
}

/** Readings of one clock, as units. */
export class TimeScale {
  readonly perMs: number
  /** Time moves in steps of so many units. */
  private readonly step: number
  /** The first reading is moved back to a multiple of this. */
  private readonly alignMs: number
  private origin: number
  private latest: number
  /** How far the latest reading is into its step. */
  private into: number

  constructor(perMs: number, options: { readonly step?: number; readonly alignMs?: number } = {}) {
    this.perMs = perMs
    this.step = options.step ?? 1
    this.alignMs = options.alignMs ?? 1
    this.origin = Number.NaN
    this.latest = 0
    this.into = 0
  }

  /** `now` in units. A reading that is older than an earlier one, or no number, counts as the latest. */
  read(now: number): number {
    const units = Math.floor((now - this.origin) * this.perMs + EPSILON)
    if (units > this.latest && units <= LATEST) {
      this.latest = units
      if (this.step !== 1) this.into = units % this.step
    } else if (!(units <= this.latest)) {
      this.readOdd(now)
    }
    return this.latest - this.into
  }

  /** The first reading, or one that is no time. */
  private readOdd(now: number): void {
    if (now === Infinity || (Number.isFinite(now) && Number.isFinite(this.origin))) {
      throw new RangeError(`Expected \`now\` to be a time, got ${now}`)
    }
    if (!Number.isFinite(now) || Number.isFinite(this.origin)) return
    this.origin = Math.floor(now / this.alignMs) * this.alignMs
    this.read(now)
  }

  /** A time that may be in the past, in units; moves nothing. */
  past(at: number): number {
    const units = Math.floor((at - this.origin) * this.perMs + EPSILON)
    return units < this.latest
      ? units - (((units % this.step) + this.step) % this.step)
      : this.latest - this.into
  }

  /** Milliseconds from the latest reading until `units` after the beginning of its step. */
  ms(units: number): number {
    if (units <= 0) return 0
    return (this.step === 1 ? units : this.stepped(units)) / this.perMs
  }

  /** Units from the latest reading until the step that begins no sooner than `units` after its step did. */
  private stepped(units: number): number {
    return Math.ceil(units / this.step) * this.step - this.into
  }

  /** `ms` in units, rounded up. */
  units(ms: number): number {
    return Math.ceil(ms * this.perMs - EPSILON)
  }

  /** Goes on where `earlier` stands. */
  follow(earlier: TimeScale): void {
    if (Number.isNaN(earlier.origin)) return
    this.read(earlier.origin)
    this.read(earlier.origin + earlier.latest / earlier.perMs)
  }
}
