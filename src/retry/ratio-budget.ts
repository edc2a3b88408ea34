/**
 * A share of the calls as retries (Finagle's RetryBudget, tower's TpsBudget).
 *
 *   balance = credits that first attempts of the last ttlMs have left, `ratio` each, + reserve
 *   reserve: refilled by minPerSecond, holds at most minPerSecond * ttlMs / 1000
 *
 * A further attempt takes 1, from the oldest credits first. Each credit is spent at most once and lives no longer
 * than ttlMs, so that for every interval of T ms:
 *
 *   further attempts <= ratio * firstAttempts(T + ttlMs) + minPerSecond * (T + ttlMs) / 1000
 *
 * Further attempts leave no credits. n layers of calls that each keep to this cause, in the long run, at most
 * (1 + ratio)^n calls at the bottom for each at the top.
 */
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import type { RetryBudget } from './budget.ts'

export interface RatioBudgetOptions {
  /** How many further attempts there may be for each call. @default 0.1 */
  readonly ratio?: number
  /** How many there may be in any case. @default 1 */
  readonly minPerSecond?: number
  /** How long a call's share can be used. @default 10_000 */
  readonly ttlMs?: number
  /** One with a name is listed by `inspect()`. @default 'retry-budget' */
  readonly name?: string
}

export interface RatioBudgetSnapshot {
  /** Further attempts that would be allowed now, as of the last time that anybody asked. */
  readonly balance: number
  /** Since the last reset: calls, further attempts, and those that were refused. */
  readonly calls: number
  readonly withdrawn: number
  readonly refused: number
}

const SLOTS = 10
/** Credits are counted in millionths, as whole numbers: a tenth added ten times is then exactly one. */
const ONE = 1_000_000

export class RatioBudget implements RetryBudget<RatioBudgetOptions, RatioBudgetSnapshot> {
  readonly kind = 'retry-budget'
  readonly name: string
  readonly countsSuccesses = false
  /** What one call leaves. */
  private credit: number
  private minPerSecond: number
  private ttlMs: number
  /** Credits of the slots, the present one at `slot`. */
  private readonly credits: Float64Array
  private total: number
  private slot: number
  private epoch: number
  private slotEnd: number
  private reserve: number
  private refilledAt: number
  private calls: number
  /** How many of the calls have their credit in the present slot or an older one: writing it down can wait. */
  private credited: number
  private withdrawn: number
  private refused: number

  /** @internal Use `retryBudget`. */
  constructor(options: RatioBudgetOptions) {
    knownOptions('retryBudget', options, ['ratio', 'minPerSecond', 'ttlMs', 'name'])
    this.name = nameOption('name', options.name ?? 'retry-budget')
    this.credit = creditOf(options.ratio ?? 0.1)
    this.minPerSecond = minOption(options.minPerSecond ?? 1)
    this.ttlMs = ttlOption(options.ttlMs ?? 10_000)
    this.credits = new Float64Array(SLOTS)
    this.total = 0
    this.slot = 0
    this.epoch = 0
    this.slotEnd = 0
    this.reserve = this.reserveCap
    this.refilledAt = 0
    this.calls = 0
    this.credited = 0
    this.withdrawn = 0
    this.refused = 0
  }

  deposit(now: number, calls: number): void {
    if (now >= this.slotEnd) this.advance(now)
    this.calls += calls
  }

  succeeded(): void {}

  failed(): void {}

  withdraw(now: number): boolean {
    if (now >= this.slotEnd) this.advance(now)
    this.writeCredits()
    this.refill(now)
    if (this.total + this.reserve < ONE) {
      this.refused++
      return false
    }
    this.withdrawn++
    this.reserve = Math.max(0, this.reserve - (ONE - this.spend(ONE)))
    return true
  }

  /**
   * Takes effect at once; what calls have left already stays, except that another `ttlMs` forgets it. The reserve
   * is refilled by the new rate from the last withdrawal on.
   */
  update(options: Partial<RatioBudgetOptions>): void {
    knownOptions('retryBudget.update', options, ['ratio', 'minPerSecond', 'ttlMs'])
    const credit = options.ratio === undefined ? this.credit : creditOf(options.ratio)
    const minPerSecond = minOption(options.minPerSecond ?? this.minPerSecond)
    const ttlMs = ttlOption(options.ttlMs ?? this.ttlMs)
    // Credits are dated in slots of the old length; with another length they would seem older or younger.
    if (ttlMs !== this.ttlMs) this.forget()
    this.writeCredits()
    this.credit = credit
    this.minPerSecond = minPerSecond
    this.ttlMs = ttlMs
    this.reserve = Math.min(this.reserve, this.reserveCap)
    announceSettings(this, options)
  }

  snapshot(): RatioBudgetSnapshot {
    this.writeCredits()
    const { calls, withdrawn, refused } = this
    return { balance: (this.total + this.reserve) / ONE, calls, withdrawn, refused }
  }

  reset(): void {
    this.forget()
    this.reserve = this.reserveCap
    this.refilledAt = 0
    this.calls = 0
    this.credited = 0
    this.withdrawn = 0
    this.refused = 0
  }

  private get reserveCap(): number {
    return (this.minPerSecond * this.ttlMs * ONE) / 1_000
  }

  /** Takes up to `wanted` from the credits, the oldest first; says how much it was. */
  private spend(wanted: number): number {
    let left = wanted
    for (let age = SLOTS - 1; age >= 0 && left > 0; age--) {
      const slot = (this.slot - age + SLOTS) % SLOTS
      const taken = Math.min(left, this.credits[slot]!)
      this.credits[slot] = this.credits[slot]! - taken
      left -= taken
    }
    this.total -= wanted - left
    return wanted - left
  }

  private refill(now: number): void {
    if (now <= this.refilledAt) return
    const refilled = this.reserve + (now - this.refilledAt) * this.minPerSecond * (ONE / 1_000)
    this.reserve = Math.min(this.reserveCap, refilled)
    this.refilledAt = now
  }

  /** Writes down what the latest calls have left. */
  private writeCredits(): void {
    const credit = (this.calls - this.credited) * this.credit
    this.credited = this.calls
    this.credits[this.slot] = this.credits[this.slot]! + credit
    this.total += credit
  }

  /** Drops the credits of slots that have become too old. */
  private advance(now: number): void {
    this.writeCredits()
    const epoch = Math.floor((now * SLOTS) / this.ttlMs)
    const steps = Math.min(epoch - this.epoch, SLOTS)
    for (let step = 0; step < steps; step++) {
      this.slot = this.slot + 1 === SLOTS ? 0 : this.slot + 1
      this.total -= this.credits[this.slot]!
      this.credits[this.slot] = 0
    }
    if (steps <= 0) return
    this.epoch = epoch
    this.slotEnd = ((epoch + 1) * this.ttlMs) / SLOTS
  }

  private forget(): void {
    this.credited = this.calls
    this.credits.fill(0)
    this.total = 0
    this.epoch = 0
    this.slotEnd = 0
  }
}

function creditOf(ratio: unknown): number {
  return Math.round(numberOption('ratio', ratio, { min: 0, max: 1_000 }) * ONE)
}

function minOption(minPerSecond: unknown): number {
  return numberOption('minPerSecond', minPerSecond, { min: 0 })
}

function ttlOption(ttlMs: unknown): number {
  return numberOption('ttlMs', ttlMs, { min: 0, above: true })
}
