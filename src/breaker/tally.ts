import { RollingWindow, type SavedWindow } from '../internal/rolling-window.ts'
import type { CircuitSettings } from './circuit-options.ts'

const TOTAL = 0
const FAILED = 1
const SLOW = 2

/** What in the window asks for the circuit to open. */
export type TallyVerdict = 'failure-ratio' | 'slow-ratio' | 'consecutive-failures'

/** How the calls of the last while came out, and whether that is bad enough to stop calling. */
export class Tally {
  /** Failures in a row. */
  streak: number
  private window: RollingWindow

  constructor(settings: CircuitSettings) {
    this.streak = 0
    this.window = windowFor(settings)
  }

  get total(): number {
    return this.window.sums[TOTAL]!
  }

  get failures(): number {
    return this.window.sums[FAILED]!
  }

  get slow(): number {
    return this.window.sums[SLOW]!
  }

  add(failed: boolean, slow: boolean, now: number): void {
    const { window } = this
    window.advance(now)
    window.add(TOTAL, 1)
    if (slow) window.add(SLOW, 1)
    if (failed) {
      window.add(FAILED, 1)
      this.streak++
    } else this.streak = 0
  }

  /** Asked after every `add`, of a success too: it may be the one that makes the sample large enough. */
  judge(settings: CircuitSettings): TallyVerdict | undefined {
    const { total, failures, slow } = this
    if (failures === 0 && slow === 0) return undefined
    if (total >= settings.minimum) {
      if (failures >= settings.failureRatio * total) return 'failure-ratio'
      if (slow >= settings.slowRatio * total) return 'slow-ratio'
    }
    // The last calls of the window are those of the streak, as many of them as it still holds.
    return Math.min(this.streak, total) >= settings.consecutiveFailures ? 'consecutive-failures' : undefined
  }

  clear(): void {
    this.streak = 0
    this.window.clear()
  }

  /** Goes over to a window of another shape, if it is another. */
  reshape(settings: CircuitSettings, now: number): void {
    const next = windowFor(settings)
    if (next.bucketMs === this.window.bucketMs && next.buckets === this.window.buckets) return
    next.load(this.window.save(now), now)
    this.window = next
  }

  save(now: number): SavedWindow {
    return this.window.save(now)
  }

  load(saved: SavedWindow, streak: number, now: number): void {
    this.window.load(saved, now)
    this.streak = streak
  }
}

function windowFor({ windowMs, buckets }: CircuitSettings): RollingWindow {
  return new RollingWindow(windowMs / buckets, buckets, 3)
}
