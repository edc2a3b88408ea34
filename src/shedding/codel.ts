/**
 * Controlled delay (Nichols and Jacobson, 2012), in the form for servers of Facebook's "Fail at Scale" (Maurer,
 * 2015): it is not a long queue that is bad but one that does not go away.
 *
 *   d          how long a call has waited before it can begin
 *   overload   the least d of the last interval was above the target; decided anew once an interval
 *   refuse     while overloaded, a call with d above 2 · target
 *
 * The call that opens an interval is never refused: its d is where the minimum starts.
 *
 * A call's wait is hidden in the kernel and in the event loop, where nothing can measure it. By default d is how
 * long the loop has been busy without a break, which is the least that whatever is read now has waited.
 */
import { register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { BusyStreak } from '../internal/busy-streak.ts'
import { loopIdleMs } from '../internal/event-loop.ts'
import type { ShedCall } from './call.ts'
import { modeOption } from './options.ts'
import type { Mode, Result, Shedder, ShedderOptions, ShedderSnapshot, Verdict } from './shedder.ts'
import { Tally } from './tally.ts'

export interface CodelOptions extends ShedderOptions {
  /** The wait that is all right to last. @default 10 */
  readonly targetMs?: number
  /** For how long the wait may be above it before anybody is refused. @default 100 */
  readonly intervalMs?: number
  /** How long a call has waited. @default how long the event loop has been busy */
  readonly delayMs?: (call: ShedCall, now: number) => number
}

export interface CodelSnapshot extends ShedderSnapshot {
  readonly targetMs: number
  readonly intervalMs: number
  readonly overloaded: boolean
}

/** How many targets a call of each class may have waited while overloaded. */
const PATIENCE = [4, 2, 1.5, 1] as const
/** And which part of that a second try: more than a first one of the next class. */
const AGAIN = 0.9

/**
 * Refuses what has waited too long. Right for synchronous handlers, with no need to learn anything first; blind to
 * whatever waits for something other than the loop.
 */
export function codel(options: CodelOptions = {}): Shedder<CodelOptions, CodelSnapshot> {
  return register(new Codel(options))
}

class Codel implements Shedder<CodelOptions, CodelSnapshot> {
  readonly kind: string
  readonly name: string
  mode: Mode
  private targetMs: number
  private intervalMs: number
  private delayMs: (call: ShedCall, now: number) => number
  private readonly tally: Tally
  private inFlight: number
  private leastMs: number
  private intervalEnd: number
  private overloaded: boolean

  constructor(options: CodelOptions) {
    knownOptions('codel', options, ['name', ...known])
    this.kind = 'codel'
    this.name = nameOption('name', options.name ?? 'codel')
    this.mode = 'enforce'
    this.targetMs = 10
    this.intervalMs = 100
    const streak = new BusyStreak(loopIdleMs)
    this.delayMs = (_call, now) => streak.read(now)
    this.tally = new Tally()
    this.inFlight = 0
    this.leastMs = 0
    this.intervalEnd = -Infinity
    this.overloaded = false
    const { name: _, ...rest } = options
    this.update(rest)
  }

  offer(call: ShedCall, now: number): Verdict {
    if (this.mode === 'off') return 'run'
    if (call.deadline <= now) return this.tally.late(this.mode)
    const patience = call.again ? AGAIN * PATIENCE[call.importance]! : PATIENCE[call.importance]!
    if (this.tooLate(this.delayMs(call, now), patience, now)) {
      this.tally.refuse('delay', now)
      return this.mode === 'observe' ? 'run' : 'delay'
    }
    this.tally.admit(now)
    this.inFlight++
    call.shedder = this
    return 'run'
  }

  settle(call: ShedCall, _result: Result, _now: number): void {
    if (call.shedder !== this) return
    call.shedder = undefined
    this.inFlight--
  }

  exempt(): void {
    this.tally.exempt++
  }

  pressure(now: number): number {
    const refused = this.tally.refusedShare(now)
    if (refused > 0) return 0.5 + 0.5 * refused
    return Math.min(0.5, (0.25 * this.leastMs) / this.targetMs)
  }

  isOverloaded(now: number): boolean {
    return this.tally.refusedShare(now) > 0
  }

  update(options: Partial<CodelOptions>): void {
    knownOptions('codel', options, known)
    const { mode = this.mode, targetMs = this.targetMs, intervalMs = this.intervalMs } = options
    modeOption(mode)
    numberOption('targetMs', targetMs, { min: 0, above: true })
    numberOption('intervalMs', intervalMs, { min: 0, above: true })
    this.delayMs = functionOption('delayMs', options.delayMs ?? this.delayMs)
    this.mode = mode
    this.targetMs = targetMs
    this.intervalMs = intervalMs
  }

  snapshot(): CodelSnapshot {
    const { mode, inFlight, tally, targetMs, intervalMs, overloaded } = this
    return { mode, inFlight, limit: Infinity, ...tally.snapshot(), targetMs, intervalMs, overloaded }
  }

  reset(): void {
    this.tally.reset()
    this.leastMs = 0
    this.intervalEnd = -Infinity
    this.overloaded = false
  }

  private tooLate(delayMs: number, patience: number, now: number): boolean {
    if (now > this.intervalEnd || now < this.intervalEnd - this.intervalMs) {
      this.overloaded = this.leastMs > this.targetMs
      this.intervalEnd = now + this.intervalMs
      this.leastMs = delayMs
      return false
    }
    if (delayMs < this.leastMs) this.leastMs = delayMs
    return this.overloaded && delayMs > patience * this.targetMs
  }
}

const known: readonly (keyof CodelOptions)[] = ['mode', 'targetMs', 'intervalMs', 'delayMs']
