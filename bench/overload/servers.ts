/** The servers: each in a process of its own, warmed up before anything is measured. */
import { type Child, start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import type { CostVariant } from './cost-servers.ts'
import { type HandlerName, handlers } from './handlers.ts'
import type { OpenLoad } from './load.ts'
import { freeze, pin, thaw, unpin, usedMs, usedOnLoopMs } from './machine.ts'
import { plan } from './plan.ts'
import type { SubjectName } from './subjects.ts'
import { closedLoad, kindsOf, openLoad } from './traffic.ts'

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

/** What is asked of a server. */
export type Load = Pick<OpenLoad, 'kinds' | 'phases' | 'retries' | 'fresh'>

export interface Running {
  readonly child: Child
  readonly port: number
  readonly pid: number
}

/** Processes that have loaded everything and wait to be told which server to be. */
const spares: Child[] = []
const serverFile = compiled(new URL('./server.ts', import.meta.url))
const SPARES = 4

/** The server of the last point, and what it has rehearsed. */
let kept: { readonly key: string; readonly server: Running; readonly rehearsed: Set<string> } | undefined

/** Gives a server a process of its own, and a core as soon as it is warm. The one that was kept may still be at a backlog. */
export async function startServer(
  spec: ServerSpec | CostVariant,
  warmUp: (server: Running) => Promise<unknown>,
): Promise<Running> {
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
  const reply = child.next<{ port: number }>()
  child.send(spec)
  const server = { child, port: (await reply).port, pid }
  await warmUp(server)
  pin(pid, 0)
  return server
}

export async function stopServers(): Promise<void> {
  const last = kept === undefined ? [] : [kept.server.child]
  await Promise.all([...spares, ...last].map(child => child.stop()))
}

/** A server whose code has been compiled for this load: the one of the point before, where that was of the same kind. */
export async function warmServer(spec: ServerSpec, load: Load): Promise<Running> {
  const key = JSON.stringify(spec)
  if (kept?.key !== key) {
    const server = await startServer(spec, running => serveAndRefuse(spec.handler, running))
    kept = { key, server, rehearsed: new Set() }
  }
  const { server, rehearsed } = kept
  const piece = JSON.stringify([load.fresh, load.kinds.map(({ path, label }) => [path, label])])
  if (!rehearsed.has(piece)) await rehearse(server, load)
  rehearsed.add(piece)
  return server
}

/** The same process, with a server that has learnt nothing. */
export async function beginAnew({ child, pid }: Running, pause?: Pause): Promise<Running> {
  const reply = child.next<{ port: number }>()
  child.send({ again: true, pause } satisfies Again)
  return { child, pid, port: (await reply).port }
}

/** As many requests as it can serve, then so many that most are refused. */
async function serveAndRefuse(handler: HandlerName, { port }: Running): Promise<void> {
  const { serving, connections, refusing } = plan.warmUp
  const kinds = kindsOf(handler)
  await closedLoad({ port, kinds, connections: handlers[handler].concurrency, seconds: serving })
  await closedLoad({ port, kinds, connections, seconds: refusing })
}

/** What V8's other threads have of the server's time when there is hardly anything left to compile. */
const COMPILED = 0.08

/** Goes through what is to be measured until V8 has compiled what that takes, so many times at the most. */
export async function untilCompiled(
  pid: number,
  most: number,
  goThrough: () => Promise<unknown>,
): Promise<void> {
  for (let round = 0; round < most; round++) {
    const before = { all: usedMs(pid), loop: usedOnLoopMs(pid) }
    await goThrough()
    const all = usedMs(pid) - before.all
    const loop = usedOnLoopMs(pid) - before.loop
    // Not where nothing tells.
    if (!(all - loop > COMPILED * all)) break
  }
}

/**
 * Runs short forms of a load, each on a server that begins anew, until V8 has compiled what that takes. It does so in
 * threads of their own, which may have the other core meanwhile; on the loop's they would take a fifth of it for seconds.
 */
async function rehearse(server: Running, load: Load): Promise<void> {
  const { pid } = server
  const { rehearsal, rehearsals } = plan.warmUp
  const whole = load.phases.reduce((sum, { seconds }) => sum + seconds, 0)
  const phases = load.phases.map(phase => ({ ...phase, seconds: (phase.seconds * rehearsal) / whole }))
  unpin(pid)
  await untilCompiled(pid, rehearsals, async () => {
    const { port } = await beginAnew(server)
    await openLoad({ ...load, port, phases, seed: 1 })
  })
  pin(pid, 0)
}
