/**
 * Shedders that limit the calls in flight: a law says how many there may be, and everything else is here.
 *
 *   let in  when  n < share(class)·L,  or  n < L and the class has saved up a call of its floor
 *
 * The less a class matters, the less of the limit it may fill, so that it is refused first: critical-plus may go
 * a tenth over the limit (and one call at least), critical has all of it, sheddable-plus 90 %, sheddable 80 %, and
 * second tries 5 % less than first ones. Of the calls let in, one in twenty is saved up for each class that has been
 * refused, so that none starves.
 *
 * Once 80 % is taken no tenant may hold more than an equal part. A tenant that asks for less leaves the rest to
 * the others; one that floods holds its part and no more.
 */
import { knownOptions, nameOption } from '../core/options.ts'
import type { ShedCall } from './call.ts'
import { modeOption } from './options.ts'
import type { Mode, Refusal, Result, Shedder, ShedderOptions, ShedderSnapshot, Verdict } from './shedder.ts'
import { Tally } from './tally.ts'

const SHARES = [1.1, 1, 0.9, 0.8] as const
const AGAIN = 0.05
const PRESSED = 0.8
/** Up to where a limit that fills presses nobody. */
const HALF = 0.5
/** How much of what is let in each class may count on. */
const FLOOR = 0.05
/** How many calls of its floor a class can save up. */
const MAX_SAVED = 4

/** How many calls there may be, and what is learnt from them. Pure: told the time, it keeps no clock. */
export interface Law<Options extends object = any, State extends object = object> {
  /** As many calls may be in flight. */
  readonly limit: number
  /** Whether the limit holds at present. @default always */
  applies?(now: number): boolean
  /** A call was refused because of the limit. */
  refused?(now: number): void
  /** A call is over that took `ms` and began as the `inFlight`th. */
  sample(ms: number, inFlight: number, result: Result, now: number): void
  /** Checks `options` and takes them over, or throws and changes nothing. */
  update(options: Partial<Options>): void
  /** Settings and what has been learnt. */
  state(): State
  reset(): void
}

export type LimiterSnapshot<State extends object = object> = ShedderSnapshot & State

/** A shedder around a law. `known` are the law's own options. */
export class Limiter<Options extends object, State extends object>
  implements Shedder<Options & ShedderOptions, LimiterSnapshot<State>>
{
  readonly kind: string
  readonly name: string
  mode: Mode
  private readonly law: Law<Options, State>
  private readonly known: readonly string[]
  private readonly tally: Tally
  private readonly tenants: Map<string, number>
  private readonly saved: number[]
  private inFlight: number

  constructor(kind: string, law: Law<Options, State>, known: readonly string[], options: ShedderOptions) {
    this.kind = kind
    this.name = nameOption('name', options.name ?? kind)
    this.mode = modeOption(options.mode ?? 'enforce')
    this.law = law
    this.known = [...known, 'mode']
    this.tally = new Tally()
    this.tenants = new Map()
    this.saved = [0, 0, 0, 0]
    this.inFlight = 0
    knownOptions(kind, options, [...this.known, 'name'])
  }

  offer(call: ShedCall, now: number): Verdict {
    if (this.mode === 'off') return 'run'
    if (call.deadline <= now) return this.tally.late(this.mode)
    const refusal = this.judge(call, now)
    if (refusal === undefined) {
      this.begin(call, now)
      return 'run'
    }
    this.tally.refuse(refusal, now)
    this.law.refused?.(now)
    // Only watching, the call goes on uncounted: what is decided next must be what would be if it had been refused.
    return this.mode === 'observe' ? 'run' : refusal
  }

  settle(call: ShedCall, result: Result, now: number): void {
    if (call.shedder !== this) return
    call.shedder = undefined
    this.inFlight--
    if (call.tenant !== undefined) {
      const held = this.tenants.get(call.tenant)! - 1
      if (held === 0) this.tenants.delete(call.tenant)
      else this.tenants.set(call.tenant, held)
    }
    // A clock that went backwards says nothing about how long a call took.
    if (now >= call.startedAt) this.law.sample(now - call.startedAt, call.inFlight, result, now)
  }

  exempt(): void {
    this.tally.exempt++
  }

  pressure(now: number): number {
    const refused = this.tally.refusedShare(now)
    if (refused > 0) return 0.5 + 0.5 * refused
    if (!this.applies(now)) return 0
    const full = this.inFlight / Math.max(1, this.law.limit)
    return Math.min(0.5, Math.max(0, full - HALF))
  }

  isOverloaded(now: number): boolean {
    return this.tally.refusedShare(now) > 0
  }

  update(options: Partial<Options & ShedderOptions>): void {
    knownOptions(this.kind, options, this.known)
    const { mode = this.mode, ...rest } = options
    modeOption(mode)
    this.law.update(rest as Partial<Options>)
    this.mode = mode
  }

  snapshot(): LimiterSnapshot<State> {
    const { mode, inFlight, law, tally } = this
    return { mode, inFlight, limit: law.limit, ...tally.snapshot(), ...law.state() }
  }

  reset(): void {
    this.tally.reset()
    this.saved.fill(0)
    this.law.reset()
  }

  private judge(call: ShedCall, now: number): Refusal | undefined {
    if (!this.applies(now)) return undefined
    const { inFlight, saved } = this
    const { limit } = this.law
    const { importance, again, tenant } = call
    if (tenant !== undefined && inFlight >= PRESSED * limit && !this.hasShare(tenant, limit)) return 'share'
    const share = again ? SHARES[importance]! - AGAIN : SHARES[importance]!
    if (inFlight < share * limit || (importance === 0 && !again && inFlight < limit + 1)) return undefined
    if (inFlight >= limit || saved[importance]! < 1) return 'limit'
    saved[importance]!--
    return undefined
  }

  /** Whether a tenant holds less than an equal part of the limit. Its first call it may always make. */
  private hasShare(tenant: string, limit: number): boolean {
    const held = this.tenants.get(tenant)
    return held === undefined || held < limit / this.tenants.size
  }

  private applies(now: number): boolean {
    return this.law.applies === undefined || this.law.applies(now)
  }

  private begin(call: ShedCall, now: number): void {
    const { saved, tenants } = this
    this.tally.admit(now)
    for (let k = call.importance + 1; k < saved.length; k++) {
      if (saved[k]! < MAX_SAVED) saved[k]! += FLOOR
    }
    call.shedder = this
    call.arrivedAt = now
    call.startedAt = now
    call.inFlight = ++this.inFlight
    if (call.tenant !== undefined) tenants.set(call.tenant, (tenants.get(call.tenant) ?? 0) + 1)
  }
}
