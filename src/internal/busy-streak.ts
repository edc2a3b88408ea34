/**
 * How long the event loop has been busy without a break, and whether it has just stood still.
 *
 * An event loop that has time waits in its poll phase, and libuv adds up how long: `idleMs`. While that number
 * does not move, everything that came meanwhile has waited. The streak is therefore a lower bound of how long the
 * request in hand has waited to be read, whatever kept the loop busy.
 */

/** A busy time in which nobody looked at the streak is a stall from this on: a collection, a block, a debugger. */
const STALL_MS = 30

export class BusyStreak {
  private readonly idleMs: () => number
  private idle: number
  private since: number
  private mark: number

  constructor(idleMs: () => number) {
    this.idleMs = idleMs
    this.idle = -1
    this.since = 0
    this.mark = Infinity
  }

  /** Milliseconds since the loop last waited for something to do, or since this was first asked after that. */
  read(now: number): number {
    const idle = this.idleMs()
    if (idle !== this.idle) {
      this.idle = idle
      this.since = now
    }
    this.mark = now
    return now - this.since
  }

  /**
   * Whether the loop has been busy for `ms`, which `read` tells too, but mostly without asking for the idle time:
   * a streak that began, as far as is known, less than that ago cannot be longer.
   */
  lasts(ms: number, now: number): boolean {
    const most = now - this.since
    if (this.idle >= 0 && most >= 0 && most < ms) {
      this.mark = now
      return false
    }
    return this.read(now) >= ms
  }

  /** Whether the loop has been busy, with something that did not show itself, since the last `read` or `seen`. */
  stalled(now: number): boolean {
    // Asking for the idle time costs more than this comparison, and nearly always the answer is in it.
    return now - this.mark > STALL_MS && now - this.mark - (this.idleMs() - this.idle) > STALL_MS
  }

  /** Notes that what has kept the loop busy until now is known. */
  seen(now: number): void {
    this.mark = now
  }
}
