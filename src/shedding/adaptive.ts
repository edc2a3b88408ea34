/**
 * The default: a queue in front of the handlers, and a limit of calls in flight behind it.
 *
 * On one thread an overload hides in one of two places. Synchronous work piles requests up in the kernel and in
 * the event loop, where no count of calls in flight sees them; waiting for something else piles them up further in,
 * where no measure of the loop sees them. So calls that cannot begin at once wait here, a batch of a few
 * milliseconds begins between two polls, and the limit (see `Knee`) turns what would pile up further in into
 * waiting here too. Then there is one thing to judge: how long calls wait before they begin, class by class.
 *
 *   a    work that arrives for each millisecond (see `Demand`)
 *   r    work that begins in each millisecond while calls wait (see `DrainRate`)
 *
 *   the queue stands   once a call has waited for more than 30 ms while a > r by 3 σ of the last 100 ms or 2 σ of
 *                      the last second, σ that of both; `a` of the class and of all that come before it. Classes that matter less stand with it.
 *   until              a call finds nothing in its way, or the class has nothing waiting
 *
 *   while it does not  first come, first served. Nobody waits longer than `burstWaitMs`, or 12 times the grain of
 *                      the work where that is longer, and an expensive call is refused before many cheap ones.
 *   while it stands    the newest first. What would begin later than `standingWaitMs` from now, or one turn of the
 *                      loop up to 40 ms, is refused at once, from the old end, from the tenant that has had or wants
 *                      most. Those that have had less than their share may wait three times as long.
 *
 * Why not by delay alone, as in CoDel? An 80 ms pause at 70 % load leaves a queue that takes 270 ms to go away, and
 * so does an overload of a third of a second. Only the rates tell the one from the other.
 */
import { register } from '../core/mechanism.ts'
import { knownOptions, nameOption } from '../core/options.ts'
import {
  type AdaptiveOptions,
  type AdaptiveSettings,
  type AdaptiveSnapshot,
  adaptiveKnown,
  checkAdaptive,
} from './adaptive-options.ts'
import { Arrivals } from './arrivals.ts'
import type { ShedCall } from './call.ts'
import { DrainRate } from './drain-rate.ts'
import type { Host } from './host.ts'
import { Knee } from './knee.ts'
import { modeOption } from './options.ts'
import { KEEP_UP, Patience } from './patience.ts'
import { RouteBook } from './route-book.ts'
import { CLASSES, type ClassQueue, RunQueue } from './run-queue.ts'
import type { Mode, Refusal, Result, Shedder, Verdict } from './shedder.ts'
import { Tally } from './tally.ts'

/** A call that has waited longer is one sign of an overload. */
const LONG_WAIT_MS = 30
/** A loop that has been busy for longer lets nothing more begin before it has polled. */
export const INLINE_MS = 5
/** How many times its own cost a call wants in reserve to join a queue. */
const RESERVE = 3
/** How many times as long as a call takes a rate must have been measured to be known. */
const BASES = 3

/**
 * The shedder for everything whose handlers are not all of one known kind. `shed` and the intakes of the transports
 * run its queue; `runnerOf` does for those who use it by hand.
 */
export function adaptive(options: AdaptiveOptions = {}): Adaptive {
  return register(new Adaptive(options))
}

export class Adaptive implements Shedder<AdaptiveOptions, AdaptiveSnapshot> {
  readonly kind: 'adaptive'
  readonly name: string
  mode: Mode
  /** @internal */
  host: Host | undefined
  private settings: AdaptiveSettings
  private readonly tally: Tally
  private readonly routes: RouteBook
  private readonly knee: Knee
  private readonly queue: RunQueue
  private readonly arrivals: Arrivals
  private readonly rate: DrainRate
  private inFlight: number
  private readonly patience: Patience
  /** Whether the last call found nothing in its way. */
  private calm: boolean

  constructor(options: AdaptiveOptions) {
    knownOptions('adaptive', options, ['name', ...adaptiveKnown])
    this.kind = 'adaptive'
    this.name = nameOption('name', options.name ?? 'adaptive')
    this.mode = modeOption(options.mode ?? 'enforce')
    this.host = undefined
    this.settings = checkAdaptive(options)
    this.tally = new Tally()
    this.routes = new RouteBook()
    this.knee = new Knee(this.routes, this.settings.minLimit, () => this.host?.idleMs() ?? Number.NaN)
    this.queue = new RunQueue(this.settings.floorRatio)
    this.arrivals = new Arrivals()
    this.rate = new DrainRate()
    this.inFlight = 0
    this.patience = new Patience(this.settings.burstWaitMs)
    this.calm = true
  }

  /** How many calls wait. */
  get queued(): number {
    return this.queue.size
  }

  /** Whether one more call may be in flight. */
  get hasRoom(): boolean {
    return this.inFlight < this.knee.limit || this.mode === 'off'
  }

  /** `busyMs`: for how long the event loop has been busy without a break. */
  offer(call: ShedCall, now: number, busyMs: number = 0): Verdict {
    if (this.mode === 'off') return 'run'
    if (call.deadline <= now) return this.tally.late(this.mode)
    call.arrivedAt = now
    const route = this.routes.get(call.route)
    call.known = route
    call.costMs = route.costMs
    this.arrivals.add(call.importance, call.costMs, now)
    const { queue } = this
    if (queue.size === 0 && this.inFlight < this.knee.limit && busyMs < INLINE_MS) {
      if (!this.calm) this.calmDown()
      this.begin(call, now)
      return 'run'
    }
    const stands = queue.standsFor(call.importance)
    if (!stands && this.isTooMuch(call)) return this.refusal('wait', now)
    if (queue.size >= this.settings.maxQueued) {
      const lesser = queue.takeLesser(call)
      if (lesser === undefined) return this.refusal('full', now)
      this.turnAway(lesser, 'full', now)
    }
    if (this.calm) this.rate.restart(now)
    this.calm = false
    queue.push(call)
    return stands && this.trim(call, now) ? this.refusal('wait', now) : 'queued'
  }

  /** Before calls that wait are let go on: judges the queue, and refuses those that have waited too long. */
  tend(now: number): void {
    const { queue, rate, arrivals, patience, settings } = this
    arrivals.tend(now)
    rate.seen(now)
    rate.measure(now)
    patience.tend(settings, arrivals.grainMs, now)
    const known = rate.isKnown(BASES * this.knee.meanBaseMs, now)
    let stands = false
    for (const [importance, own] of queue.classes.entries()) {
      const { oldestAt } = own
      own.stands &&= oldestAt !== Infinity
      if (oldestAt === Infinity) continue
      if (!own.stands && known && now - oldestAt > LONG_WAIT_MS) {
        own.stands = arrivals.exceed(importance, rate.perMs, rate.deviation)
      }
      stands ||= own.stands
      // A standing queue is cut short as calls join it. Left over are those that more important ones came before.
      const allowedMs = stands ? 2 * patience.standingMs : patience.waitMs
      this.expire(own, now - allowedMs, now - Math.max(allowedMs, patience.keepUpMs), now)
    }
  }

  /** The next call to begin; nothing when none waits or the limit is reached. */
  next(now: number): ShedCall | undefined {
    while (this.queue.size > 0) {
      if (!this.hasRoom) {
        this.knee.hold(now)
        return undefined
      }
      const call = this.queue.peek()!
      if (call.task.gone || call.deadline <= now) {
        this.queue.skip()
        this.turnAway(call, 'late', now)
      } else {
        this.queue.take()
        this.rate.seen(now)
        this.rate.started(call.known!.costMs)
        this.begin(call, now)
        return call
      }
    }
    // Where nothing is cut short, what began is all there was.
    if (this.hasRoom && this.queue.standsFor(CLASSES - 1)) this.rate.dry()
    this.knee.empty(now)
    return undefined
  }

  settle(call: ShedCall, result: Result, now: number): void {
    if (call.shedder !== this) return
    call.shedder = undefined
    this.host?.settling(now)
    this.inFlight--
    if (!this.calm) this.rate.seen(now)
    this.knee.finished(call, result, now, this.inFlight)
    if (this.queue.size > 0) this.host?.wake()
    else this.knee.empty(now)
  }

  /** What a call kept the loop busy for, once it is known. */
  learnCost(call: ShedCall, ms: number): void {
    call.known?.learnCost(ms)
  }

  /** The loop has stood still until now, so that what was being measured says nothing. */
  stalled(now: number): void {
    if (!this.patience.stalled(now)) return
    this.knee.stalled(now)
    this.rate.restart(now)
  }

  /** Takes out all calls that wait, and judges none of them. */
  release(): ShedCall[] {
    return this.queue.empty()
  }

  exempt(): void {
    this.tally.exempt++
  }

  pressure(now: number): number {
    const refused = this.tally.refusedShare(now)
    if (refused > 0) return 0.5 + 0.5 * refused
    if (this.queue.size === 0) return 0
    return Math.min(0.5, Math.max(0, (0.5 * (now - this.queue.oldestAt)) / this.patience.waitMs))
  }

  isOverloaded(now: number): boolean {
    return this.queue.standsFor(CLASSES - 1) || this.tally.refusedShare(now) > 0
  }

  update(options: Partial<AdaptiveOptions>): void {
    knownOptions('adaptive', options, adaptiveKnown)
    const mode = modeOption(options.mode ?? this.mode)
    const settings = checkAdaptive(options, this.settings)
    this.mode = mode
    this.settings = settings
    this.queue.setFloor(settings.floorRatio)
    this.knee.setMinLimit(settings.minLimit)
  }

  snapshot(): AdaptiveSnapshot {
    const { mode, inFlight, knee, queue } = this
    return {
      mode,
      inFlight,
      limit: knee.limit,
      limitReason: knee.reason,
      ...this.tally.snapshot(),
      ...queue.snapshot(),
      demand: this.arrivals.workPerMs,
      drainRate: this.rate.perMs,
      routes: this.routes.snapshot(),
      ...this.settings,
    }
  }

  reset(): void {
    this.tally.reset()
    this.routes.reset()
    this.knee.reset()
    this.queue.reset()
    this.arrivals.reset()
    this.rate.reset()
    this.calm = true
    this.patience.reset()
  }

  /** A call finds nothing in its way. */
  private calmDown(): void {
    this.calm = true
    this.arrivals.forget(this.rate.perMs)
    this.queue.calm()
  }

  private begin(call: ShedCall, now: number): void {
    this.tally.admit(now)
    call.shedder = this
    call.startedAt = now
    call.isFirst = call.known!.begin(now)
    call.inFlight = ++this.inFlight
  }

  /** Whether so much work, not held back by the limit, is before it that those behind it would have to be refused. */
  private isTooMuch(call: ShedCall): boolean {
    if (this.inFlight >= this.knee.limit) return false
    return this.queue.workBefore(call) > this.patience.roomFor(RESERVE * call.costMs)
  }

  /** Refuses those in the call's lane that would be served too late; true when the call itself is among them. */
  private trim(call: ShedCall, now: number): boolean {
    const { queue, rate } = this
    const room = this.patience.standingMs * rate.perMs
    for (;;) {
      const before = queue.workBefore(call) - call.costMs
      if (before <= room) return false
      const last = queue.takeLast(call, before <= KEEP_UP * room, rate.perMs)
      if (last === undefined || last === call) return last === call
      this.turnAway(last, 'wait', now)
    }
  }

  private expire(own: ClassQueue, before: number, ownBefore: number, now: number): void {
    for (let call: ShedCall | undefined; ; this.turnAway(call, 'expired', now)) {
      call = this.queue.takeOlder(own, before, ownBefore)
      if (call === undefined) return
    }
  }

  /** What becomes of a call that is refused: its refusal, or when only watching, or off by now, that it may run uncounted. */
  private refusal(refusal: Refusal, now: number): Verdict {
    if (this.mode !== 'off') this.tally.refuse(refusal, now)
    return this.mode === 'enforce' ? refusal : 'run'
  }

  /** Ends the waiting of a call. */
  private turnAway(call: ShedCall, why: Refusal, now: number): void {
    const refusal = call.task.gone ? 'gone' : why
    if (this.refusal(refusal, now) !== 'run') (this.host ?? call.task).refuse(call, refusal)
    else if (this.host === undefined) call.task.run(call)
    else this.host.letGo(call)
  }
}
