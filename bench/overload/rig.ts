/** Server, clients and machine: starts a server for each point, lets the clients loose on it, and sees who disturbs. */
import { type Child, start } from '../lib/child.ts'
import { progress } from '../lib/report.ts'
import { type HandlerName, handlers } from './handlers.ts'
import type { ClosedLoad, ClosedOutcome, OpenLoad, OpenOutcome, Phase, RequestKind } from './load.ts'
import { pin, usedMs, watchCore } from './machine.ts'
import type { SubjectName } from './subjects.ts'

export interface ServerSpec {
  readonly subject: SubjectName
  readonly handler: HandlerName
  /** Blocks the loop for so long every so often. */
  readonly pause?: { readonly ms: number; readonly everyMs: number }
}

export interface Running {
  readonly child: Child
  readonly port: number
  readonly pid: number
}

/** A point is dirty when others have had more of the server's core, or when the clients were later than this. */
const FOREIGN_SHARE = 0.05
const LATE_MS = 5
const TRIES = 3

export interface Measured {
  /** Which part of the server's core others have had; NaN where nothing tells. */
  readonly foreign: number
  /** Processor time that the server has used. */
  readonly cpuMs: number
  readonly dirty: boolean
}

export interface OpenOptions {
  readonly phases: readonly Phase[]
  readonly kinds?: readonly RequestKind[]
  readonly retries?: number
}

let clients: Child | undefined
/** Points that were disturbed every time. */
export const dirtyPoints: string[] = []

export async function startClients(): Promise<void> {
  clients = start(new URL('./clients.ts', import.meta.url))
  await clients.next()
  pin(clients.process.pid!, 1)
}

export async function stopClients(): Promise<void> {
  await clients?.stop()
}

/** Starts a server of the bench and gives it its core. */
export async function startServer(file: string, spec: object): Promise<Running> {
  const child = start(new URL(file, import.meta.url), [JSON.stringify(spec)])
  const { port } = await child.next<{ port: number }>()
  const pid = child.process.pid!
  pin(pid, 0)
  return { child, port, pid }
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

async function openLoad(load: Omit<OpenLoad, 'mode'>): Promise<OpenOutcome> {
  const outcome = clients!.next<OpenOutcome>()
  clients!.send({ mode: 'open', ...load })
  return outcome
}

/** Watches the server's core over what `measure` does. */
export async function watched<T>(server: Running, measure: () => Promise<T>): Promise<T & Measured> {
  const foreign = watchCore(server.pid)
  const before = usedMs(server.pid)
  const outcome = await measure()
  const share = foreign()
  return { ...outcome, foreign: share, cpuMs: usedMs(server.pid) - before, dirty: share > FOREIGN_SHARE }
}

/** One server, one open load, and both once more when something has disturbed them. */
export async function openPoint(spec: ServerSpec, options: OpenOptions): Promise<OpenOutcome & Measured> {
  const name = `${spec.handler} ${spec.subject} ${options.phases.map(phase => Math.round(phase.ratePerSecond)).join(' ')}`
  let best: (OpenOutcome & Measured) | undefined
  for (let round = 1; round <= TRIES; round++) {
    const server = await startServer('./server.ts', spec)
    const { phases, kinds = kindsOf(spec.handler), retries = 0 } = options
    const result = await watched(server, () =>
      openLoad({ port: server.port, kinds, phases, retries, seed: 1 + 7_919 * round }),
    )
    await server.child.stop()
    const late = result.lateP99Ms > LATE_MS
    const point = { ...result, dirty: result.dirty || late }
    if (!point.dirty) return point
    const why = late
      ? `clients late by ${point.lateP99Ms.toFixed(1)} ms`
      : `${percent(point.foreign)} of the core taken`
    progress(`  disturbed (${why}): ${name}${round < TRIES ? '; once more' : ''}`)
    if (best === undefined || score(point) < score(best)) best = point
  }
  dirtyPoints.push(name)
  return best!
}

function score(point: OpenOutcome & Measured): number {
  return point.foreign / FOREIGN_SHARE + point.lateP99Ms / LATE_MS
}

export function percent(part: number): string {
  return `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`
}
