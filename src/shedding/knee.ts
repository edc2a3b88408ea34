/**
 * How many calls may be in flight: up to the knee of the curve, past which more of them bring no more throughput
 * and only wait for each other, whether for the loop, for a pool of connections or for a service further in.
 *
 *   B   what the calls of a window take undisturbed, route by route, times `slow`
 *   r   what they took over B                1 when nothing queues
 *   X   calls that come through in a millisecond
 *   K   X·B                                  the calls in flight that it takes (Little's law), over two windows
 *
 * Before the first window there is no limit, so that a cold start refuses nobody. Nor is there one while more are in
 * flight than when the calls of the window began, as long as r ≤ 1.2.
 *
 *   the limit kept nobody waiting
 *     r > 2 in two windows, or r > 4       L = 1.5 · (the highest K lately)       calls queue further in
 *     else                                 L = max(32, 2 · the highest K lately)   room for a burst
 *   it did
 *     r ≤ 1.2                              L = twice as many as have been in flight
 *     r ≤ 1.5                              L = L + √L
 *     r > 1.5                              L = max(1.5 · K, L · max(1/2, 1.5/r))
 *
 * Where the loop itself has been busy all the time, 2.5 stands for 1.5: the turn that a call waits for on it, once for
 * each time that it has waited for something else, is not shorter for having fewer calls in flight.
 *
 * Is r up because calls queue, or because each takes longer than it did? They take longer when throughput is less
 * than half of what it was (K has halved though the limit is reached), and when half as many in flight are just as
 * slow. Then `slow` rises to r, once. It falls when a window is faster, and by a fifth in a second by itself: if
 * that was wrong the limit shrinks, throughput with it, and it is found out again. Once nobody waits, what was
 * learnt so becomes the base.
 *
 * Only calls that began in the window count for r: the others tell of a limit that is gone.
 */
import type { ShedCall } from './call.ts'
import { clamp } from './limit-range.ts'
import type { RouteBook } from './route-book.ts'
import type { Result } from './shedder.ts'

const FREE = 1.2
const TOLERANCE = 1.5
/** The same where the loop has been busy: part of what calls wait for is their turn on it, however few there are. */
const BUSY_TOLERANCE = 2.5
/** A loop with less time to spare is busy. */
const SPARE = 0.05
const SUSPICIOUS = 2
const CERTAIN = 4
const HEADROOM = 2
const ROOM_FOR_BURST = 32
const MAX_LIMIT = 10_000
/** Over how long what was taken for slowness is forgotten while calls wait. */
const SLOW_MS = 5_000
/** What is just as slow with half as many in flight, give or take, does not queue. */
const HARDLY_FASTER = 0.8
/** How much of the limit must be among the calls of a window that judges it. */
const MOST = 0.75
/** Over how long the highest K is forgotten. */
const PEAK_MS = 10_000
const MIN_WINDOW_MS = 20
const USUAL_WINDOW_MS = 100
const CALLS = 50
const FIRST_CALLS = 20
const FEW_CALLS = 10
/** Calls that take longer than those behind them may wait: the limit grows on older evidence, twice a call. */
const LONG_CALL_MS = 100

/** After a pause all that came meanwhile begins at once: for so long it is no wonder that calls queue further in. */
const AFTER_STALL_MS = 250

/** Why the limit is what it is. */
export type KneeReason = 'unknown' | 'headroom' | 'growing' | 'full' | 'queueing' | 'slower'

/** Times of some calls, beside what the same calls take undisturbed. */
class Times {
  calls = 0
  ms = 0
  baseMs = 0
  inFlight = 0
  most = 0

  add(ms: number, baseMs: number, inFlight: number): void {
    this.calls++
    this.ms += ms
    this.baseMs += baseMs
    this.inFlight += inFlight
    if (inFlight > this.most) this.most = inFlight
  }

  clear(): void {
    this.calls = 0
    this.ms = 0
    this.baseMs = 0
    this.inFlight = 0
    this.most = 0
  }
}

export class Knee {
  limit: number
  reason: KneeReason
  /** What a call takes undisturbed, on average over the last window. */
  meanBaseMs: number
  private readonly routes: RouteBook
  private readonly idleMs: () => number
  private minLimit: number
  private slow: number
  private peak: number
  private suspected: boolean
  /** Whether the limit has kept a call waiting in this window, and since when nobody waits for anything. */
  private reached: boolean
  private freeSince: number
  /** What came through in the window before, and how long that was. */
  private beforeBaseMs: number
  private beforeLasted: number
  private start: number
  private idleAtStart: number
  private stalledAt: number
  /** Of the calls that began in this window, and of the others. */
  private readonly fresh: Times
  private readonly older: Times
  /** The most calls in flight since the limit was last found right, and how slow they were. */
  private mostInFlight: number
  private mostRatio: number

  /** `idleMs`: how long the loop has had nothing to do, in all; `NaN` where nobody knows. */
  constructor(routes: RouteBook, minLimit: number, idleMs: () => number = () => Number.NaN) {
    this.routes = routes
    this.idleMs = idleMs
    this.minLimit = minLimit
    this.fresh = new Times()
    this.older = new Times()
    this.limit = Infinity
    this.reason = 'unknown'
    this.meanBaseMs = 0
    this.slow = 1
    this.peak = 0
    this.suspected = false
    this.reached = false
    this.freeSince = Infinity
    this.beforeBaseMs = 0
    this.beforeLasted = 0
    this.start = Number.NaN
    this.idleAtStart = Number.NaN
    this.stalledAt = -Infinity
    this.mostInFlight = 0
    this.mostRatio = 1
  }

  setMinLimit(minLimit: number): void {
    this.minLimit = minLimit
    this.limit = Math.max(this.limit, minLimit)
  }

  /** The limit keeps a call waiting. */
  hold(now: number): void {
    if (this.free(now)) this.restart(now)
    this.freeSince = Infinity
    this.reached = true
  }

  /** Nobody waits any more. */
  empty(now: number): void {
    if (this.freeSince === Infinity) this.freeSince = now
  }

  /** `left`: how many are in flight still. */
  finished(call: ShedCall, result: Result, now: number, left: number = 0): void {
    if (Number.isNaN(this.start)) {
      this.start = call.startedAt
      this.idleAtStart = this.idleMs()
    }
    if (this.reached && this.free(now)) this.restart(now)
    if (result === 'success') this.learn(call, now)
    else if (call.isFirst) call.known?.missed()
    const lasted = now - this.start
    if (lasted < MIN_WINDOW_MS) {
      if (lasted < 0) this.restart(now)
      return
    }
    const { calls } = this.fresh
    // The first to end began when fewer were in flight than the limit lets in.
    const some = this.reached ? MOST * this.limit : 0
    const enough = calls >= Math.max(some, this.limit === Infinity ? FIRST_CALLS : CALLS)
    const aFew = calls >= Math.max(some, FEW_CALLS) && lasted >= USUAL_WINDOW_MS
    if (enough || aFew) this.close(lasted, left)
    else if (!this.growEarly(lasted)) return
    this.restart(now)
  }

  /** The loop has stood still until now: what was measured has been spoilt. */
  stalled(now: number): void {
    this.stalledAt = now
    this.restart(now)
  }

  /**
   * Whether nobody has waited for a good part of this window. It then says nothing of what comes through once the
   * limit is reached: little came because little was asked for, and not because calls take longer.
   */
  private free(now: number): boolean {
    return now - Math.max(this.start, this.freeSince) > USUAL_WINDOW_MS
  }

  /** Begins a new window. */
  private restart(now: number): void {
    this.start = now
    this.idleAtStart = this.idleMs()
    this.reached = false
    this.fresh.clear()
    this.older.clear()
  }

  reset(): void {
    this.limit = Infinity
    this.reason = 'unknown'
    this.slow = 1
    this.peak = 0
    this.suspected = false
    this.mostInFlight = 0
    this.meanBaseMs = 0
    this.beforeBaseMs = 0
    this.beforeLasted = 0
    this.stalledAt = -Infinity
    this.restart(Number.NaN)
  }

  private learn(call: ShedCall, now: number): void {
    const ms = now - call.startedAt
    const route = call.known ?? this.routes.get(call.route)
    if (route.learnTime(ms, call.inFlight, call.isFirst, now)) this.suspected = true
    const { baseMs } = route
    if (!(baseMs > 0)) return
    const times = call.startedAt >= this.start ? this.fresh : this.older
    times.add(ms, baseMs, call.inFlight)
  }

  private close(lasted: number, left: number): void {
    const { fresh, slow } = this
    const baseMs = fresh.baseMs + this.older.baseMs
    const ratio = fresh.ms / fresh.baseMs / slow
    const inFlight = fresh.inFlight / fresh.calls
    // Calls that began together end together, so one window alone may hold two times what comes through, or nothing.
    const needed = ((baseMs + this.beforeBaseMs) * slow) / (lasted + this.beforeLasted)
    this.beforeBaseMs = baseMs
    this.beforeLasted = lasted
    this.meanBaseMs = fresh.baseMs / fresh.calls
    this.peak = Math.max(needed, this.peak * (1 - Math.min(1, lasted / PEAK_MS)))
    const since = this.start + lasted - this.stalledAt
    const tolerance = this.idleMs() - this.idleAtStart < SPARE * lasted ? BUSY_TOLERANCE : TOLERANCE
    if (this.reached) this.adjust(ratio, tolerance, inFlight, needed, lasted)
    else if (ratio <= SUSPICIOUS || since < 0 || since >= AFTER_STALL_MS)
      this.watch(ratio, tolerance, inFlight, left)
    for (const route of this.routes.all()) route.closeWindow(lasted, this.reached)
  }

  /** After a window in which the limit kept nobody waiting. */
  private watch(ratio: number, tolerance: number, inFlight: number, left: number): void {
    const queueing = inFlight > this.minLimit && ratio > SUSPICIOUS
    if (queueing && (ratio > CERTAIN || this.suspected)) {
      this.suspected = false
      this.set(tolerance * this.peak, 'queueing')
      return
    }
    this.suspected = queueing
    if (queueing && this.limit !== Infinity) return
    if (this.slow > 1) {
      for (const route of this.routes.all()) route.baseMs *= this.slow
      this.slow = 1
    }
    this.mostInFlight = 0
    // What few calls took says nothing yet of the many that have begun since: of a first flood only the front has come through.
    if (this.limit === Infinity && ratio <= FREE && this.fresh.most < MOST * left) return
    this.set(Math.max(ROOM_FOR_BURST, HEADROOM * this.peak), 'headroom')
  }

  /** After a window in which it did. */
  private adjust(ratio: number, tolerance: number, inFlight: number, needed: number, lasted: number): void {
    const change = this.slowness(ratio, inFlight, needed, lasted)
    if (inFlight > 0.9 * this.mostInFlight || inFlight < 0.5 * this.mostInFlight) {
      this.mostInFlight = inFlight
      this.mostRatio = ratio
    }
    this.mostRatio /= change
    this.slow *= change
    ratio /= change
    if (ratio <= FREE) this.set(Math.max(this.limit, 2 * this.fresh.most), change > 1 ? 'slower' : 'growing')
    else if (ratio <= tolerance) this.set(this.limit + Math.sqrt(this.limit), 'full')
    else {
      const cut = this.limit * Math.max(0.5, tolerance / ratio)
      // With no more than K a loop that is busy between two waits would run out of calls now and then.
      this.set(Math.max(cut, tolerance * needed * change), 'queueing')
    }
  }

  /** What `slow` changes by. */
  private slowness(ratio: number, inFlight: number, needed: number, lasted: number): number {
    if (ratio > TOLERANCE) {
      const lessComesThrough = needed < 0.5 * this.peak
      const fewerAreAsSlow = inFlight < 0.5 * this.mostInFlight && ratio > HARDLY_FASTER * this.mostRatio
      if (lessComesThrough || fewerAreAsSlow) return ratio
    }
    const forgotten = ratio > FREE ? 1 - lasted / SLOW_MS : 1
    return Math.max(1 / this.slow, Math.min(ratio, forgotten))
  }

  /** Calls that take long: while all that end are as quick as ever, those that wait are not made to wait for proof. */
  private growEarly(lasted: number): boolean {
    if (!this.reached) return false
    const { fresh, older } = this
    const baseMs = fresh.baseMs + older.baseMs
    const meanMs = baseMs / (fresh.calls + older.calls)
    if (!(meanMs >= LONG_CALL_MS && lasted >= meanMs / 2)) return false
    if (fresh.ms + older.ms >= FREE * this.slow * baseMs) return false
    this.set(2 * this.limit, 'growing')
    return true
  }

  private set(limit: number, reason: KneeReason): void {
    this.limit = clamp(limit, this.minLimit, MAX_LIMIT)
    this.reason = reason
  }
}
