import type { AdaptiveSettings } from './adaptive-options.ts'

/**
 * How long calls of a burst may wait: as set, or 12 times the grain of the work where that is longer. After the loop
 * has stood still, whatever had to wait meanwhile is let through.
 */
const GRAINS = 12
const MAX_WAIT_MS = 200
/** The longest turn of the loop that calls may wait for all the same. */
const MAX_TURN_MS = 40
/** A loop that stands still more often than this is not standing still. */
const STALL_EVERY_MS = 1_000

/** How many times as much work, and for how many times as long, may wait of tenants that have had less than their share. */
export const KEEP_UP = 3

type Waits = Pick<AdaptiveSettings, 'burstWaitMs' | 'standingWaitMs'>

export class Patience {
  waitMs: number
  /**
   * While a queue stands: as set, or for one turn of the loop. Where reading a flood takes longer than they may wait,
   * what was let in for the time after that has to be as much as the time after that can serve, or less and less is.
   */
  standingMs: number
  /** While a queue stands, for those who have had less than their share. */
  keepUpMs: number
  private stalledAt: number
  private tendedAt: number

  constructor(waitMs: number) {
    this.waitMs = waitMs
    this.standingMs = 0
    this.keepUpMs = 0
    this.stalledAt = -Infinity
    this.tendedAt = Infinity
  }

  /** Once a turn, before calls begin. `grainMs` is what a call of the work costs. */
  tend({ burstWaitMs, standingWaitMs }: Waits, grainMs: number, now: number): void {
    const grainsMs = Math.min(MAX_WAIT_MS, GRAINS * grainMs)
    this.waitMs = Math.max(burstWaitMs, this.hasStalled(now) ? MAX_WAIT_MS : grainsMs)
    this.standingMs = Math.max(standingWaitMs, Math.min(MAX_TURN_MS, now - this.tendedAt))
    this.tendedAt = now
    this.keepUpMs = Math.max(KEEP_UP * this.standingMs, grainsMs)
  }

  /**
   * How much work may be before a call that wants so much in reserve. Half of the longest wait it may always find
   * there, or a call that costs more than a third of that could not wait at all, though it be the only one.
   */
  roomFor(reserveMs: number): number {
    return Math.max(this.waitMs / 2, this.waitMs - reserveMs)
  }

  /** The loop has stood still until now. False if it did so a moment ago as well. */
  stalled(now: number): boolean {
    if (this.hasStalled(now)) return false
    this.stalledAt = now
    return true
  }

  reset(): void {
    this.stalledAt = -Infinity
  }

  /** Lately, and not in what a clock that has gone back takes for the future. */
  private hasStalled(now: number): boolean {
    return now >= this.stalledAt && now - this.stalledAt < STALL_EVERY_MS
  }
}
