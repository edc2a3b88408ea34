/**
 * Runs the queue of a shedder on the event loop.
 *
 *   a call comes      run at once if the shedder says so: nothing is put off, no turn of the loop is added
 *                     else a place for it among the immediates of the next check phase
 *   check phase       those that waited in vain are told, then one call for each immediate, until a batch has lasted
 *                     BATCH; then the loop polls
 *
 *   BATCH = what taking in takes, about, but 5 ms at least, or 2.5 in an overload, and 20 ms at most
 *
 * Calls that have waited for something else go on between two batches: the shorter those are, the sooner they are
 * answered. But each poll takes time, and as long as nobody is refused there is none to lose. Where a flood has to be
 * read and refused, serving still has a third of the time.
 *
 * Telling some dozens together costs less than one by one in between what is read: a seventh of what refusing takes
 * behind express, whose requests are unlike those that never get there. Of more, the first are out of the cache by then.
 *
 * Each call has an immediate of its own because Node settles promises and ticks between two immediates. What a
 * handler does after its first `await` on something ready is then part of its time, and counts against the batch.
 *
 * New connections are accepted one in each turn (libuv from 1.45 on), so while handlers have the loop the newcomers
 * grow old in the kernel, where nobody sees them. As long as a turn has brought a connection, the next one only
 * takes requests in, up to a bound: or taking in would leave no time for serving.
 */
import type { Alarm } from '../core/clock.ts'
import { warn } from '../core/warn.ts'
import { BusyStreak } from '../internal/busy-streak.ts'
import { type Loop, systemLoop } from '../internal/event-loop.ts'
import { Adaptive, INLINE_MS } from './adaptive.ts'
import type { ShedCall } from './call.ts'
import { clamp } from './limit-range.ts'
import type { Refusal, Shedder } from './shedder.ts'
import { Untold } from './untold.ts'

const LEAST_BATCH_MS = 5
const LEAST_OVERLOADED_MS = 2.5
const MOST_BATCH_MS = 20
/** How long it takes to read a call and to refuse it, about. */
const READ_MS = 0.02
const MAX_SLOTS = 64
/** Refused calls that are told together. */
const MOST_UNTOLD = 32
/** Turns, and time, that only take in, for each batch: two thirds of the time of the loop at most, or four fifths in an overload. */
const INTAKE_TURNS = 128
const INTAKE_MS = 10
/** How often waiting calls are looked at while the limit lets none begin. */
const WATCH_MS = 5

/** Asks a shedder about calls, and sees to it that those that wait begin. */
export interface Runner {
  /** Runs the call's task now or later, or refuses it now or later. */
  submit(call: ShedCall): void
  /** A connection has been accepted. */
  connected(): void
}

const runners = new WeakMap<Shedder, Runner>()

/** The runner of a shedder: one for each, whoever asks, so that everything in front of one loop shares one queue. */
export function runnerOf(shedder: Shedder, loop: Loop = systemLoop): Runner {
  let runner = runners.get(shedder)
  if (runner === undefined) {
    runner = shedder instanceof Adaptive ? new QueueRunner(shedder, loop) : new PlainRunner(shedder, loop)
    runners.set(shedder, runner)
  }
  return runner
}

/** For shedders that say at once. */
class PlainRunner implements Runner {
  private readonly shedder: Shedder
  private readonly loop: Loop

  constructor(shedder: Shedder, loop: Loop) {
    this.shedder = shedder
    this.loop = loop
  }

  submit(call: ShedCall): void {
    const verdict = this.shedder.offer(call, this.loop.clock.now())
    if (verdict === 'run' || verdict === 'queued') call.task.run(call)
    else call.task.refuse(call, verdict)
  }

  connected(): void {}
}

class QueueRunner implements Runner, Alarm {
  private readonly shedder: Adaptive
  private readonly loop: Loop
  private readonly streak: BusyStreak
  private readonly slot: () => void
  /** Immediates for the next batch, and those left of the present one. */
  private pending: number
  private slots: number
  /** Calls that have come since the last batch. */
  private taken: number
  private batchStart: number
  private batchMs: number
  private batchOver: boolean
  private readonly untold: Untold
  private running: ShedCall | undefined
  private runningSince: number
  /** Whether a call that was not put off is being run at this very moment. */
  private starting: boolean
  private connections: number
  private intakeTurns: number
  private intakeSince: number
  private armed: boolean

  // The links of an alarm in its clock.
  readonly keepAlive: boolean
  at: number
  next: Alarm | undefined
  previous: Alarm | undefined

  constructor(shedder: Adaptive, loop: Loop) {
    this.shedder = shedder
    this.loop = loop
    this.streak = new BusyStreak(loop.idleMs)
    this.slot = () => this.turn()
    this.pending = 0
    this.slots = 0
    this.taken = 0
    this.batchStart = 0
    this.batchMs = 0
    this.batchOver = true
    this.untold = new Untold()
    this.running = undefined
    this.runningSince = 0
    this.starting = false
    this.connections = 0
    this.intakeTurns = 0
    this.intakeSince = 0
    this.armed = false
    this.keepAlive = true
    this.at = 0
    this.next = undefined
    this.previous = undefined
    shedder.host = this
  }

  submit(call: ShedCall): void {
    const { shedder } = this
    const now = this.loop.clock.now()
    this.look(now)
    this.taken++
    const busy = this.streak.lasts(INLINE_MS, now)
    const verdict = shedder.offer(call, now, busy ? INLINE_MS : 0)
    if (verdict === 'queued') this.schedule()
    else if (verdict === 'run') this.start(call)
    else call.task.refuse(call, verdict)
  }

  connected(): void {
    this.connections++
  }

  /** @internal How long the loop has had nothing to do, in all. */
  idleMs(): number {
    return this.loop.idleMs()
  }

  /** @internal A call is about to be settled. */
  settling(now: number): void {
    // While a handler runs it is no news that the loop is busy.
    if (this.running === undefined && !this.starting) this.look(now)
    this.streak.seen(now)
  }

  /** @internal A call that waits may be able to begin. */
  wake(): void {
    if (this.slots === 0) this.schedule()
  }

  /** @internal A call that has waited is told with others: in the next check phase, or at the end of this one. */
  refuse(call: ShedCall, refusal: Refusal): void {
    if (this.untold.add(call, refusal) >= MOST_UNTOLD) this.tell()
    else if (this.slots === 0) this.schedule()
  }

  /** @internal A call that has waited goes on in an immediate of its own, whatever the shedder thinks of it. */
  letGo(call: ShedCall): void {
    this.loop.soon(() => call.task.run(call))
  }

  /** @internal Looks at those that wait for room. */
  ring(): void {
    this.armed = false
    if (this.shedder.queued > 0) this.schedule()
  }

  /** Sees to an immediate for each call that waits, and one more to end the batch. */
  private schedule(): void {
    const wanted = Math.min(MAX_SLOTS, this.shedder.queued) + 1
    for (; this.pending < wanted; this.pending++) this.loop.soon(this.slot)
  }

  private turn(): void {
    const first = this.slots === 0
    if (first) {
      this.slots = this.pending
      this.pending = 0
      this.tell()
    }
    this.slots--
    const now = this.loop.clock.now()
    let call: ShedCall | undefined
    try {
      call = this.choose(first, now)
    } catch (error) {
      this.failed(error)
    }
    if (this.slots === 0) this.tell()
    if (call === undefined) return
    // What follows on the call's promises and ticks is still its own, so it runs until the next immediate.
    this.running = call
    this.runningSince = now
    call.task.run(call)
  }

  /** The call that has this immediate, if there is one. */
  private choose(first: boolean, now: number): ShedCall | undefined {
    if (first) this.begin(now)
    else this.ended(now)
    if (this.slots === 0) {
      this.end(now)
      return undefined
    }
    if (this.batchOver) return undefined
    const call = now - this.batchStart < this.batchMs ? this.shedder.next(now) : undefined
    this.batchOver = call === undefined
    return call
  }

  private begin(now: number): void {
    this.batchStart = now
    this.batchOver = this.takesIn(now)
    this.connections = 0
    if (this.batchOver) return
    this.intakeTurns = 0
    this.look(now)
    this.streak.read(now)
    this.shedder.tend(now)
    const least = this.shedder.isOverloaded(now) ? LEAST_OVERLOADED_MS : LEAST_BATCH_MS
    this.batchMs = clamp(READ_MS * this.taken, least, MOST_BATCH_MS)
    this.taken = 0
  }

  /** Whether this turn is for taking in only. */
  private takesIn(now: number): boolean {
    if (this.connections === 0) return false
    if (this.intakeTurns === 0) this.intakeSince = now
    return ++this.intakeTurns <= INTAKE_TURNS && now - this.intakeSince < INTAKE_MS
  }

  /** Runs a call at once, in the middle of whatever is going on. */
  private start(call: ShedCall): void {
    const outer = this.starting
    this.starting = true
    try {
      call.task.run(call)
    } finally {
      this.starting = outer
    }
  }

  /** What the call before this immediate did is over. */
  private ended(now: number): void {
    if (this.running === undefined) return
    this.shedder.learnCost(this.running, now - this.runningSince)
    this.running = undefined
    this.streak.seen(now)
  }

  private tell(): void {
    this.untold.tell((call, error) => {
      this.warn(`let a call through because it could not refuse it: ${String(error)}`)
      this.letGo(call)
    })
  }

  private end(now: number): void {
    const { shedder } = this
    if (shedder.queued === 0) {
      // With time left: more could have begun, had there been any.
      if (!this.batchOver && now - this.batchStart < this.batchMs) shedder.next(now)
      return
    }
    if (shedder.hasRoom) this.schedule()
    else if (!this.armed) {
      this.armed = true
      this.loop.clock.arm(this, now + WATCH_MS)
    }
  }

  /** Nobody knows what is to become of those that wait, so they are let through. */
  private failed(error: unknown): void {
    this.batchOver = true
    this.warn(`let waiting calls through because it could not decide: ${String(error)}`)
    for (const call of this.shedder.release()) this.letGo(call)
  }

  private warn(what: string): void {
    warn('SPILLWAY_SHED_FAILED', `${this.shedder.name} ${what}`)
  }

  /** Tells the shedder of a loop that has stood still. */
  private look(now: number): void {
    if (this.streak.stalled(now)) this.shedder.stalled(now)
  }
}
