import { performance } from 'node:perf_hooks'
import { type Clock, systemClock } from '../core/clock.ts'

/** The event loop, as far as a scheduler has to do with it. */
export interface Loop {
  readonly clock: Clock
  /** How long the loop has waited for something to do, in all. */
  idleMs(): number
  /** Runs `callback` in the next check phase, once what can be read has been read. */
  soon(callback: () => void): void
}

const { nodeTiming } = performance

/**
 * How long this thread's event loop has waited for something to do, in all. `eventLoopUtilization()` tells the same
 * and takes more than twice as long, for each request of a busy server.
 */
export function loopIdleMs(): number {
  return nodeTiming.idleTime
}

/** The loop of this thread. */
export const systemLoop: Loop = {
  clock: systemClock,
  idleMs: loopIdleMs,
  soon: callback => {
    setImmediate(callback)
  },
}
