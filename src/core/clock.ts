import { TimingWheel } from './timing-wheel.ts'

/**
 * Something that wants to be woken at a time. The two links belong to the clock that holds the alarm; an alarm
 * is held by at most one clock, and once.
 */
export interface Alarm {
  /** When it is to ring, on the clock's own scale. A clock that rounds it keeps what it made of it to itself. */
  at: number
  /** Whether the process stays alive for it. */
  readonly keepAlive: boolean
  next: Alarm | undefined
  previous: Alarm | undefined
  ring(): void
}

/**
 * Where all time in the kit comes from: monotonic, never the wall clock, so that a machine whose date jumps
 * changes no decision. Tests replace it with `manualClock()` from `spillway/testing`.
 */
export interface Clock {
  /** Milliseconds, with fractions. Only differences mean anything. */
  now(): number
  /** Rings `alarm` at `at` or a few milliseconds later, never earlier. */
  arm(alarm: Alarm, at: number): void
  /** Forgets `alarm`. Does nothing when it is not armed. */
  disarm(alarm: Alarm): void
  /**
   * Has `to` ring in place of `from` and in its turn. Does nothing where `from` is not armed. Both keep the process alive,
   * or neither does. A clock may do without it: then `from` is disarmed and `to` is armed.
   */
  swap?(from: Alarm, to: Alarm): void
}

let timers = setInterval
let { performance } = globalThis

/** Node looks `performance` up anew for whoever names it, which takes as long as to ask it for the time. */
function monotonic(): number {
  // A test that fakes the timers fakes the time with them.
  if (timers !== setInterval) {
    timers = setInterval
    performance = globalThis.performance
  }
  return performance.now()
}

const wheel = new TimingWheel(monotonic)

/** The process's clock: `performance.now()` and one timing wheel shared by every deadline and every wait. */
export const systemClock: Clock & { readonly armed: number } = wheel
