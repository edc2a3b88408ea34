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
  // What belongs into the bucket being filled is kept here, in plain counters, until that is full.
  private calls: number
  private failed: number
  private slowed: number

  constructor(settings: CircuitSettings) {
    this.streak = 0
    this.window = windowFor(settings)
    this.calls = 0
    this.failed = 0
    this.slowed = 0
  }

  get total(): number {
    return this.window.sums[TOTAL]! + this.calls
  }

  get failures(): number {
    return this.window.sums[FAILED]! + this.failed
  }

  get slow(): number {
    return this.window.sums[SLOW]! + this.slowed
  }

  add(failed: boolean, slow: boolean, now: number): void {
    if (now >= this.window.bucketEnd) {
      this.write()
      this.window.advance(now)
    }
    this.calls++
    if (slow) this.slowed++
    if (failed) {
      this.failed++
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
    this.write()
    this.window.clear()
  }

  /** Goes over to a window of another shape, if it is another. */
  reshape(settings: CircuitSettings, now: number): void {
    const next = windowFor(settings)
    if (next.bucketMs === this.window.bucketMs && next.buckets === this.window.buckets) return
    next.load(this.save(now), now)
    this.window = next
  }

  save(now: number): SavedWindow {
    this.write()
    return this.window.save(now)
  }

  load(saved: SavedWindow, streak: number, now: number): void {
    this.write()
    this.window.load(saved, now)
    this.streak = streak
  }

  private write(): void {
    this.window.add(TOTAL, this.calls)
    this.window.add(FAILED, this.failed)
    this.window.add(SLOW, this.slowed)
    this.calls = 0
    this.failed = 0
    this.slowed = 0
  }
}

function windowFor({ windowMs, buckets }: CircuitSettings): RollingWindow {
  return new RollingWindow(windowMs / buckets, buckets, 3)
}
