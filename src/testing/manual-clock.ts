import type { Alarm, Clock } from '../core/clock.ts'
import { numberOption } from '../core/options.ts'

/** A clock that stands still until a test moves it. Every timer of the kit that it was given to moves with it. */
export interface ManualClock extends Clock {
  /** How many alarms are waiting: 0 when nothing that was timed is still going on. */
  readonly armed: number
  /**
   * Moves time on by `ms`, ringing each alarm at its own time, in order, and letting whatever each of them sets
   * off run to a standstill before the next.
   */
  advance(ms: number): Promise<void>
  /** Moves time on by `ms` at once, as a stalled event loop would: what is due rings at the next `advance`. */
  jump(ms: number): void
  /** Lets promises that are ready run, and all that follows from them, without moving time. */
  flush(): Promise<void>
}

export interface ManualClockOptions {
  /** Where time starts. @default 1_000_000 */
  readonly startMs?: number
}

/** Alarms that keep arming others for the very same moment would keep `advance` busy for ever. */
const MAX_RINGS_AT_ONCE = 100_000

// As they were when this was loaded: a test that fakes timers as well must still be able to wait for a flush.
const { setImmediate: nextTurn } = globalThis

/** Makes a clock for tests: `createContext({ clock: manualClock() })`. */
export function manualClock(options: ManualClockOptions = {}): ManualClock {
  let now = numberOption('startMs', options.startMs ?? 1_000_000, { min: 0 })
  /** Sorted by time; among equals, the first armed first. */
  const alarms: Alarm[] = []

  const disarm = (alarm: Alarm): void => {
    const index = alarms.indexOf(alarm)
    if (index >= 0) alarms.splice(index, 1)
  }
  const flush = (): Promise<void> => new Promise(resolve => nextTurn(resolve))

  return {
    now: () => now,
    get armed() {
      return alarms.length
    },
    arm(alarm, at) {
      disarm(alarm)
      alarm.at = at
      const index = alarms.findLastIndex(other => !(other.at > at)) + 1
      alarms.splice(index, 0, alarm)
    },
    disarm,
    swap(from, to) {
      const index = alarms.indexOf(from)
      if (index < 0) return
      to.at = from.at
      alarms[index] = to
    },
    flush,
    jump(ms) {
      now += numberOption('ms', ms, { min: 0 })
    },
    async advance(ms) {
      const target = now + numberOption('ms', ms, { min: 0 })
      await flush()
      let rings = 0
      for (let alarm = alarms[0]; alarm !== undefined && alarm.at <= target; alarm = alarms[0]) {
        alarms.shift()
        rings = alarm.at > now ? 0 : rings + 1
        if (rings > MAX_RINGS_AT_ONCE)
          throw new Error(`Time stands still at ${now}: alarms arm others for it`)
        now = Math.max(now, alarm.at)
        alarm.ring()
        await flush()
      }
      // An alarm may have jumped, or two tests advance the same clock: time never goes back.
      now = Math.max(now, target)
    },
  }
}
