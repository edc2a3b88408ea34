import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import { WaitingLine } from '../internal/waiting-line.ts'
import type { ServerLimit } from './header-parse.ts'

/** What is known of one server's limits, and the line of those who wait because of it. */
export class Pace {
  /** Calls that have gone and not come back. */
  inFlight: number
  private readonly clock: Clock
  private readonly spreadBelow: number
  private readonly line: WaitingLine<void>
  /** Nothing goes before this. */
  private openAt: number
  /** Between one call and the next. */
  private gapMs: number

  constructor(clock: Clock, spreadBelow: number) {
    const advance = (): void => this.advance()
    this.inFlight = 0
    this.clock = clock
    this.spreadBelow = spreadBelow
    this.line = new WaitingLine(clock, { ring: advance, onLeave: advance })
    this.openAt = 0
    this.gapMs = 0
  }

  /** Nothing is known that a new one would not know. */
  get idle(): boolean {
    return this.line.length === 0 && this.inFlight === 0 && this.openAt <= this.clock.now()
  }

  get waiting(): number {
    return this.line.length
  }

  /** For how long a call that came now would wait. */
  waitMs(): number {
    const { length } = this.line
    return Math.max(0, this.openAt - this.clock.now()) + length * this.gapMs
  }

  /** Goes, if nothing is in the way. */
  go(): boolean {
    if (this.line.length > 0 || this.openAt > this.clock.now()) return false
    this.step()
    return true
  }

  join(context: Context): Promise<void> {
    const turn = this.line.join(1, 0, context)
    if (this.line.length === 1) this.advance()
    return turn
  }

  /** Takes in what an answer said: of several limits, the one that asks for most. */
  learn(limits: readonly ServerLimit[], retryAfterMs: number | undefined): void {
    const now = this.clock.now()
    if (retryAfterMs !== undefined) this.openAt = Math.max(this.openAt, now + retryAfterMs)
    if (limits.length > 0) this.gapMs = 0
    for (const { remaining, resetMs, quota } of limits) {
      // What is on its way will be taken from what is left.
      const left = remaining - this.inFlight
      if (remaining === 0) this.openAt = Math.max(this.openAt, now + resetMs)
      if (quota !== undefined && left > quota * this.spreadBelow) continue
      this.gapMs = Math.max(this.gapMs, resetMs / Math.max(1, left))
    }
    this.advance()
  }

  private step(): void {
    this.openAt = Math.max(this.openAt, this.clock.now()) + this.gapMs
  }

  private advance(): void {
    while (this.line.length > 0) {
      if (this.openAt > this.clock.now()) {
        this.line.wake(this.openAt)
        return
      }
      this.step()
      this.line.serve()
    }
  }
}
