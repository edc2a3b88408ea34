/** Server, clients and machine: starts a server for each point, lets the clients loose on it, and sees who disturbs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import { progress, quick } from '../lib/report.ts'
import type { CostVariant } from './cost-servers.ts'
import { type HandlerName, handlers, warmPath } from './handlers.ts'
import {
  type ClosedLoad,
  type ClosedOutcome,
  type OpenLoad,
  type OpenOutcome,
  type Phase,
  quantile,
  type RequestKind,
} from './load.ts'
import { freeze, pin, raisePriority, thaw, usedMs, watchCore } from './machine.ts'
import { plan } from './plan.ts'
import type { SubjectName } from './subjects.ts'

export interface ServerSpec {
  readonly subject: SubjectName
  readonly handler: HandlerName
}

/** Blocks the loop for so long every so often, from a time on. */
export interface Pause {
  readonly ms: number
  readonly everyMs: number
  readonly afterMs: number
}

/** To be the same server anew, with nothing learnt. */
export interface Again {
  readonly again: true
  readonly pause: Pause | undefined
}

export interface Running {
  readonly child: Child
  readonly port: number
  readonly pid: number
}

/**
 * A point is dirty when others have had more of the server's core, when that was slower than it has lately been, or the
 * clients later, than this.
 */
const FOREIGN_SHARE = 0.05
const SPEED = 0.85
/** What was longer ago says nothing of how fast the core may be again: some machines stay slow for an hour. */
const LATELY_MS = 60_000
const LATE_MS = 5
const TRIES = 3
/** How often the speed of the core is looked at, and for how long, for the fastest, before anything is measured. */
const CALIBRATIONS = quick ? 3 : 30
const LOOK_MS = 100
/** A point waits so long for its core to be fast. */
const WAIT_S = 2
/** How much time waiting and measuring again may take, for each handler, so that a run on a busy machine ends as well. */
const REPEATS_S = quick ? 0 : 4
let spareS = 0

/** Gives what is measured next its time for that, and what has been left over. */
export function allowRepeats(): void {
  spareS += REPEATS_S
}

export interface Measured {
  /** Which part of the server's core others have had; NaN where nothing tells. */
  readonly foreign: number
  /** How fast the core was: rounds of the speedometer in a millisecond. */
  readonly speed: number
  /** Processor time that the server has used. */
  readonly cpuMs: number
  readonly dirty: boolean
}

export interface OpenOptions {
  readonly phases: readonly Phase[]
  readonly pause?: Pause
  readonly kinds?: readonly RequestKind[]
  readonly retries?: number
  readonly fresh?: boolean
}

let clients: Child | undefined
let speedometer: Child | undefined
/** Points that were disturbed every time. */
export const dirtyPoints: string[] = []

export async function startClients(): Promise<void> {
  raisePriority()
  clients = start(compiled(new URL('./clients.ts', import.meta.url)))
  await clients.next()
  pin(clients.process.pid!, 1)
  speedometer = start(compiled(new URL('./speedometer.ts', import.meta.url)))
  await speedometer.next()
  pin(speedometer.process.pid!, 0)
  for (let i = 0; i < CALIBRATIONS; i++) {
    await sleep(LOOK_MS)
    await coreSpeed()
  }
}

export async function stopAll(): Promise<void> {
  const servers = kept === undefined ? [] : [kept.server.child]
  await Promise.all([...spares, ...servers, clients!, speedometer!].map(child => child.stop()))
}

/** Processes that have loaded everything and wait to be told which server to be. */
const spares: Child[] = []
const serverFile = compiled(new URL('./server.ts', import.meta.url))
const SPARES = 4

/** The server of the last point. */
let kept: { readonly key: string; readonly server: Running } | undefined

/** Gives a server a process and a core of its own. The one that was kept may still be at a backlog of seconds. */
export async function startServer(spec: ServerSpec | CostVariant): Promise<Running> {
  await kept?.server.child.stop()
  kept = undefined
  if (spares.length === 0) {
    spares.push(...Array.from({ length: SPARES }, () => start(serverFile)))
    await Promise.all(spares.map(spare => spare.next()))
    for (const spare of spares) freeze(spare.process.pid!)
  }
  const child = spares.pop()!
  const pid = child.process.pid!
  thaw(pid)
  pin(pid, 0)
  const reply = child.next<{ port: number }>()
  child.send(spec)
  return { child, port: (await reply).port, pid }
}

/**
 * A server that has learnt nothing, in a process whose code has been compiled: the one of the point before, where that
 * was of the same kind, or one that has served and refused for a while.
 */
async function freshServer(spec: ServerSpec, pause: Pause | undefined): Promise<Running> {
  const key = JSON.stringify(spec)
  if (kept?.key !== key) {
    const server = await startServer(spec)
    await warmUp(spec, server.port)
    kept = { key, server }
  }
  await fastCore()
  const { child, pid } = kept.server
  const reply = child.next<{ port: number }>()
  child.send({ again: true, pause } satisfies Again)
  return { child, pid, port: (await reply).port }
}

/**
 * Requests that cost nothing, then as many as it can serve, then so many that most are refused: none of them alone
 * runs all of the code as often as it takes to have it compiled.
 */
async function warmUp({ handler }: ServerSpec, port: number): Promise<void> {
  const { compiling, serving, connections, refusing } = plan.warmUp
  const kinds = kindsOf(handler)
  const cheap = kinds.map(kind => ({ ...kind, path: warmPath }))
  const few = handlers[handler].concurrency
  await closedLoad({ port, kinds: cheap, connections: few, seconds: compiling })
  await closedLoad({ port, kinds, connections: few, seconds: serving })
  await closedLoad({ port, kinds, connections, seconds: refusing })
}

/** What the clients of a handler send. */
export function kindsOf(name: HandlerName): RequestKind[] {
  const { paths, bodyBytes } = handlers[name]
  return Object.entries(paths).map(([path, weight]) => ({ path, weight, bodyBytes, label: path }))
}

export async function closedLoad(load: Omit<ClosedLoad, 'mode'>): Promise<ClosedOutcome> {
  const outcome = clients!.next<ClosedOutcome>()
  clients!.send({ mode: 'closed', ...load })
  return outcome
}

export async function openLoad(load: Omit<OpenLoad, 'mode'>): Promise<OpenOutcome> {
  const outcome = clients!.next<OpenOutcome>()
  clients!.send({ mode: 'open', ...load })
  return outcome
}

/** The fastest that the server's core has been, in rounds of the speedometer in a millisecond. */
export let fastest = 0
let looks: { readonly at: number; readonly speed: number }[] = []

/** Watches the server's core over what `measure` does. */
export async function watched<T>(server: Running, measure: () => Promise<T>): Promise<T & Measured> {
  await coreSpeed()
  const foreign = watchCore(server.pid)
  const before = usedMs(server.pid)
  const outcome = await measure()
  const share = foreign()
  const cpuMs = usedMs(server.pid) - before
  const { speed, slow } = await coreSpeed()
  return { ...outcome, foreign: share, speed, cpuMs, dirty: share > FOREIGN_SHARE || slow }
}

/** Waits until the server's core is fast, if it is not for too long: slow spells last for some seconds. */
async function fastCore(): Promise<void> {
  if (spareS <= 0) return
  const most = Math.min(spareS, WAIT_S)
  const startedAt = performance.now()
  let waitedS = 0
  while ((await coreSpeed()).slow && waitedS < most) {
    await sleep(LOOK_MS)
    waitedS = (performance.now() - startedAt) / 1_000
  }
  spareS -= waitedS
}

interface CoreSpeed {
  readonly speed: number
  /** Whether it has lately been a good deal faster, and not for a moment only. */
  readonly slow: boolean
}

/** How fast the server's core has been since this was last asked. */
async function coreSpeed(): Promise<CoreSpeed> {
  const reply = speedometer!.next<{ speed: number }>()
  speedometer!.send('speed')
  const { speed } = await reply
  fastest = Math.max(fastest, speed)
  const now = performance.now()
  looks = [...looks.filter(({ at }) => now - at < LATELY_MS), { at: now, speed }]
  const lately = quantile(
    looks.map(look => look.speed),
    0.8,
  )
  return { speed, slow: speed < SPEED * lately }
}

/** One server, one open load, and both once more when something has disturbed them. */
export async function openPoint(spec: ServerSpec, options: OpenOptions): Promise<OpenOutcome & Measured> {
  const name = `${spec.handler} ${spec.subject} ${options.phases.map(phase => Math.round(phase.ratePerSecond)).join(' ')}`
  const { phases, kinds = kindsOf(spec.handler), retries = 0, fresh = false } = options
  let best: (OpenOutcome & Measured) | undefined
  for (let round = 1; ; round++) {
    const server = await freshServer(spec, options.pause)
    const { port } = server
    const startedAt = performance.now()
    const result = await watched(server, () =>
      openLoad({ port, kinds, phases, retries, fresh, seed: 1 + 7_919 * round }),
    )
    const late = result.lateP99Ms > LATE_MS
    const point = { ...result, dirty: result.dirty || late }
    if (!point.dirty) return point
    const lastedS = (performance.now() - startedAt) / 1_000
    const more = round < TRIES && lastedS < spareS
    progress(`  disturbed (${why(point)}): ${name}${more ? '; once more' : ''}`)
    if (best === undefined || disturbance(point) < disturbance(best)) best = point
    if (!more) {
      dirtyPoints.push(name)
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
