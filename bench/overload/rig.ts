/** Server, clients and machine: lets the clients loose on a server for each point, once more where others disturb. */
import { progress, quick } from '../lib/report.ts'
import {
  FOREIGN_SHARE,
  fastCore,
  fastest,
  type Measured,
  SPEED,
  startSpeedometer,
  stopSpeedometer,
  watched,
} from './core.ts'
import type { OpenOutcome, Phase, RequestKind } from './load.ts'
import { raisePriority } from './machine.ts'
import { beginAnew, type Pause, type ServerSpec, stopServers, warmServer } from './servers.ts'
import { kindsOf, openLoad, startClients, stopClients } from './traffic.ts'

/** A point is dirty, besides, when the clients have been later than this. */
const LATE_MS = 5
const TRIES = 3
/** A point waits so long for its core to be fast. */
const WAIT_S = 2
/** How much time waiting and measuring again may take, for each handler, so that a run on a busy machine ends as well. */
const REPEATS_S = quick ? 0 : 2
let spareS = 0

/** Gives what is measured next its time for that, and what has been left over. */
export function allowRepeats(): void {
  spareS += REPEATS_S
}

export interface OpenOptions {
  readonly phases: readonly Phase[]
  readonly pause?: Pause
  readonly kinds?: readonly RequestKind[]
  readonly retries?: number
  readonly fresh?: boolean
}

/** Points that were disturbed every time. */
export const dirtyPoints: Set<string> = new Set()

export async function startRig(): Promise<void> {
  raisePriority()
  await startClients()
  await startSpeedometer()
}

export async function stopRig(): Promise<void> {
  await Promise.all([stopServers(), stopClients(), stopSpeedometer()])
}

/** One server, one open load, and both once more when something has disturbed them. */
export async function openPoint(spec: ServerSpec, options: OpenOptions): Promise<OpenOutcome & Measured> {
  const name = `${spec.handler} ${spec.subject} ${options.phases.map(phase => Math.round(phase.ratePerSecond)).join(' ')}`
  const { phases, pause, kinds = kindsOf(spec.handler), retries = 0, fresh = false } = options
  const load = { phases, kinds, retries, fresh }
  let best: (OpenOutcome & Measured) | undefined
  for (let round = 1; ; round++) {
    const warm = await warmServer(spec, load)
    spareS -= await fastCore(Math.min(spareS, WAIT_S))
    const server = await beginAnew(warm, pause)
    const { port } = server
    const startedAt = performance.now()
    const result = await watched(server, () => openLoad({ ...load, port, seed: 1 + 7_919 * round }))
    const late = result.lateP99Ms > LATE_MS
    const point = { ...result, dirty: result.dirty || late }
    if (!point.dirty) {
      // It may have been measured before.
      dirtyPoints.delete(name)
      return point
    }
    const lastedS = (performance.now() - startedAt) / 1_000
    const more = round < TRIES && lastedS < spareS
    progress(`  disturbed (${why(point)}): ${name}${more ? '; once more' : ''}`)
    if (best === undefined || disturbance(point) < disturbance(best)) best = point
    if (!more) {
      dirtyPoints.add(name)
      return best
    }
    spareS -= lastedS
  }
}

function why({ lateP99Ms, foreign, speed }: OpenOutcome & Measured): string {
  if (lateP99Ms > LATE_MS) return `clients late by ${lateP99Ms.toFixed(1)} ms`
  if (foreign > FOREIGN_SHARE) return `${percent(foreign)} of the core taken`
  return `the core at ${percent(speed / fastest)} of its speed`
}

function disturbance({ foreign, speed, lateP99Ms }: OpenOutcome & Measured): number {
  const taken = Number.isNaN(foreign) ? 0 : foreign / FOREIGN_SHARE
  return taken + (1 - speed / fastest) / (1 - SPEED) + lateP99Ms / LATE_MS
}

export function percent(part: number): string {
  return `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`
}
