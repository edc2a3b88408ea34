/**
 * How long calls of a burst may wait: as set, or 12 times the grain of the work where that is longer. After the loop
 * has stood still, whatever had to wait meanwhile is let through.
 */
const GRAINS = 12
const MAX_WAIT_MS = 200
/** A loop that stands still more often than this is not standing still. */
const STALL_EVERY_MS = 1_000

export class Patience {
  waitMs: number
  private stalledAt: number

  constructor(waitMs: number) {
    this.waitMs = waitMs
    this.stalledAt = -Infinity
  }

  /** `setMs` is what was set, `grainMs` what a call of the work costs. */
  tend(setMs: number, grainMs: number, now: number): void {
    const wantedMs = now - this.stalledAt < STALL_EVERY_MS ? MAX_WAIT_MS : GRAINS * grainMs
    this.waitMs = Math.max(setMs, Math.min(MAX_WAIT_MS, wantedMs))
  }

  /** The loop has stood still until now. False if it did so a moment ago as well. */
  stalled(now: number): boolean {
    if (now - this.stalledAt < STALL_EVERY_MS) return false
    this.stalledAt = now
    return true
  }

  reset(): void {
    this.stalledAt = -Infinity
  }
}
