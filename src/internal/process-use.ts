import { performance } from 'node:perf_hooks'
import { cpuLimit } from './cpu-limit.ts'
import { Use } from './use.ts'

/**
 * The processor time of this process, out of what it can put to use: JavaScript runs on one thread, so eight
 * processors are one to it, and half a processor that a container allows is all there is.
 */
export function cpuUse(): Use {
  const used = (): number => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1_000
  }
  return new Use(used, Math.min(1, cpuLimit()), 100, 1_000)
}

/** The time that the event loop of this thread was busy, which is also the time that everybody else waited. */
export function loopUse(): Use {
  return new Use(() => performance.eventLoopUtilization().active, 1, 100, 0)
}
