/**
 * Node's event loop in virtual time.
 *
 *   poll      what has become readable, in that order, at most 1,024 at a time; at most ONE new connection a turn
 *   check     the immediates that were queued when the phase began
 *   timers    what is due, to the whole millisecond
 *
 * Each callback is followed by the ticks that it queued. Work takes time through `burn`; everything else takes
 * none. The loop waits in poll only when no immediate is queued, and what it waits is what `idleMs` adds up. So a
 * scheduler, or a law of control, meets the same order of events as in a real process, in milliseconds and with
 * the same result every time.
 *
 * One connection a turn is what libuv does from 1.45 on (Node 20): under load the backlog of the listening socket
 * is where newcomers grow old.
 */
import type { Alarm, Clock } from '../core/clock.ts'
import { numberOption } from '../core/options.ts'
import { Heap } from '../internal/heap.ts'

export interface EventLoopOptions {
  /** Where time starts. @default 1_000_000 */
  readonly startMs?: number
  /** What a turn costs before any callback runs: the system call, the bookkeeping. @default 0.005 */
  readonly turnMs?: number
}

export interface EventLoop {
  /** The loop's time as a clock, for whatever takes one. */
  readonly clock: Clock
  now(): number
  /** How long the loop has waited for something to do, in all. */
  idleMs(): number
  /** Keeps the loop busy: nothing else happens meanwhile. */
  burn(ms: number): void
  /** Runs `callback` when the present callback is over, before anything else. */
  nextTick(callback: () => void): void
  /** Runs `callback` in the next check phase. */
  setImmediate(callback: () => void): void
  /** Runs `callback` in the timers phase, `ms` from now or later. Returns what cancels it. */
  setTimeout(callback: () => void, ms: number): () => void
  /** Runs `callback` in the first poll phase at or after `at`. */
  readable(at: number, callback: () => void): void
  /** Puts a connection in the accept backlog at `at`; `callback` runs when its turn comes. */
  connect(at: number, callback: () => void): void
  /** Adds what sends I/O: asked before each poll for everything up to then. */
  feed(source: LoopSource): void
  /** Turns until `until`, or until nothing is left that could ever happen. */
  run(until: number): void
}

/** Something outside the process that sends to it, whatever the process is doing meanwhile. */
export interface LoopSource {
  /** When it sends next; `Infinity` for never. */
  nextAt(): number
  /** Calls `readable` or `connect` for everything that it sends until `now`. */
  send(now: number): void
}

const POLL_BATCH = 1_024

interface Timed {
  readonly at: number
  readonly order: number
  readonly callback: () => void
  cancelled: boolean
}

/** Makes an event loop that runs in virtual time. */
export function eventLoop(options: EventLoopOptions = {}): EventLoop {
  return new VirtualLoop(
    numberOption('startMs', options.startMs ?? 1_000_000, { min: 0 }),
    numberOption('turnMs', options.turnMs ?? 0.005, { min: 0 }),
  )
}

const sooner = (a: Timed, b: Timed): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

class VirtualLoop implements EventLoop {
  readonly clock: Clock
  private readonly turnMs: number
  private readonly io = new Heap<Timed>(sooner)
  private readonly backlog = new Heap<Timed>(sooner)
  private readonly timers = new Heap<Timed>(sooner)
  private readonly sources: LoopSource[] = []
  private readonly ticks: (() => void)[] = []
  private immediates: (() => void)[] = []
  private time: number
  private idle = 0
  private order = 0

  constructor(startMs: number, turnMs: number) {
    this.time = startMs
    this.turnMs = turnMs
    const armed = new Map<Alarm, () => void>()
    const disarm = (alarm: Alarm): void => {
      armed.get(alarm)?.()
      armed.delete(alarm)
    }
    this.clock = {
      now: () => this.time,
      arm: (alarm, at) => {
        disarm(alarm)
        alarm.at = at
        const ring = (): void => {
          armed.delete(alarm)
          alarm.ring()
        }
        armed.set(alarm, this.setTimeout(ring, at - this.time))
      },
      disarm,
    }
  }

  now(): number {
    return this.time
  }

  idleMs(): number {
    return this.idle
  }

  burn(ms: number): void {
    this.time += ms
  }

  nextTick(callback: () => void): void {
    this.ticks.push(callback)
  }

  setImmediate(callback: () => void): void {
    this.immediates.push(callback)
  }

  setTimeout(callback: () => void, ms: number): () => void {
    const timer = this.timed(this.time + Math.max(1, Math.ceil(ms)), callback)
    this.timers.push(timer)
    return () => {
      timer.cancelled = true
    }
  }

  readable(at: number, callback: () => void): void {
    this.io.push(this.timed(at, callback))
  }

  connect(at: number, callback: () => void): void {
    this.backlog.push(this.timed(at, callback))
  }

  feed(source: LoopSource): void {
    this.sources.push(source)
  }

  run(until: number): void {
    while (this.time < until && this.turn(until));
    this.time = Math.max(this.time, until)
  }

  private timed(at: number, callback: () => void): Timed {
    return { at, order: this.order++, callback, cancelled: false }
  }

  /** One turn; false when there was nothing to wait for. */
  private turn(until: number): boolean {
    if (this.immediates.length === 0) {
      const next = this.next()
      if (next === Infinity) return false
      if (next > this.time) {
        const wake = Math.min(next, until)
        this.idle += wake - this.time
        this.time = wake
        if (next > until) return true
      }
    }
    this.time += this.turnMs
    this.poll()
    this.check()
    this.expire()
    return true
  }

  private next(): number {
    while (this.timers.peek()?.cancelled) this.timers.pop()
    return Math.min(
      this.io.peek()?.at ?? Infinity,
      this.backlog.peek()?.at ?? Infinity,
      this.timers.peek()?.at ?? Infinity,
      ...this.sources.map(source => source.nextAt()),
    )
  }

  private poll(): void {
    for (const source of this.sources) source.send(this.time)
    for (let full = true; full; ) {
      const ready: Timed[] = []
      while (ready.length < POLL_BATCH && this.io.size > 0 && this.io.peek()!.at <= this.time) {
        ready.push(this.io.pop()!)
      }
      full = ready.length === POLL_BATCH
      if (this.backlog.size > 0 && this.backlog.peek()!.at <= this.time && !full) {
        this.call(this.backlog.pop()!.callback)
      }
      for (const { callback } of ready) this.call(callback)
    }
  }

  private check(): void {
    const { immediates } = this
    if (immediates.length === 0) return
    this.immediates = []
    for (const callback of immediates) this.call(callback)
  }

  private expire(): void {
    while (this.timers.size > 0 && this.timers.peek()!.at <= this.time) {
      const timer = this.timers.pop()!
      if (!timer.cancelled) this.call(timer.callback)
    }
  }

  private call(callback: () => void): void {
    callback()
    const { ticks } = this
    for (let i = 0; i < ticks.length; i++) ticks[i]!()
    ticks.length = 0
  }
}
