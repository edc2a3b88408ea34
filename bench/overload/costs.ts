/** What the protection itself costs: refusing, serving at full load, serving at none. */
import { start } from '../lib/child.ts'
import { type Figure, figure } from '../lib/stats.ts'
import { type HandlerName, handlers, warmPath } from './handlers.ts'
import { plan } from './plan.ts'
import { closedLoad, dirtyPoints, kindsOf, percent, type Running, startServer, watched } from './rig.ts'

const CONNECTIONS = 64
/** So many clients that ask again at once: nearly all of them have to be refused, and the server is never idle. */
const FLOOD = 128
/** Less than this refused, and it is not refusals that have been measured. */
const LEAST_REFUSED = 0.9
const TRIES = 3
/** For how long a server at its peak is at it before that counts. */
const SETTLE_S = 0.1
const REFUSING_WARM_UPS = 3
/** How many times as many rounds as the plan has, each so much shorter. */
const SHORTER = 2
/** By how much the bare server may differ from one round to the next. */
const STEADY = 0.15

export interface RefusalCost {
  /** Processor time for one 503 of a bare server, in milliseconds, on a core at its fastest. */
  readonly bareMs: number
  /** The same with a body of 8 kB to be read past. */
  readonly barePostMs: number
  /** 503s in a second of processor time: express behind `shedServer` over bare node:http. */
  readonly rateOverBare: Figure
  /** Which part of what came to express was refused. */
  readonly refused: Figure
}

export async function measureRefusals(): Promise<RefusalCost> {
  const bare = await startServer('bare503')
  const ours = await startServer('express503')
  const { settle } = plan.cost
  const shares: number[] = []
  /** What a 503 takes of processor time on a core at its fastest, in milliseconds. */
  const bareMs: number[] = []
  const barePostMs: number[] = []
  /** 503s in a millisecond of processor time, once the server has been refusing for a while. */
  const refusals = async (server: Running, handler: HandlerName, seconds: number): Promise<Rate> => {
    const { port, pid } = server
    const load = { port, pid, kinds: kindsOf(handler), connections: FLOOD, seconds, settle }
    for (let tries = 1; ; tries++) {
      // Not the processor time of all that is watched, in which there is that of settling.
      const { outcome, speed, dirty } = await watched(server, async () => ({
        outcome: await closedLoad(load),
      }))
      const { refused, served, cpuMs, seconds: lasted } = outcome
      const share = refused / (refused + served)
      if (share >= LEAST_REFUSED || tries === TRIES) {
        if (server === ours) shares.push(share)
        if (!(share >= LEAST_REFUSED)) dirtyPoints.push(`refusals: only ${percent(share)} refused`)
        const rate = refused / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs)
        if (server === bare) (handler === 'post' ? barePostMs : bareMs).push(speed / rate)
        return { rate, dirty }
      }
    }
  }
  // So long because the first hundred thousand refusals cost two to four times as much, while V8 compiles and its heap grows.
  for (const server of [ours, bare]) await refusals(server, 'cpu', plan.cost.warmUp * REFUSING_WARM_UPS)
  shares.length = bareMs.length = 0
  const rateOverBare = await sideBySide(
    'refusals',
    seconds => refusals(bare, 'cpu', seconds),
    seconds => refusals(ours, 'cpu', seconds),
  )
  for (let round = 0; round < plan.cost.rounds; round++) await refusals(bare, 'post', plan.cost.seconds)
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return {
    bareMs: figure(bareMs).value,
    barePostMs: figure(barePostMs).value,
    rateOverBare,
    refused: figure(shares),
  }
}

/** What a server does in a millisecond of processor time, and whether something has disturbed it. */
interface Rate {
  readonly rate: number
  readonly dirty: boolean
}

/**
 * What we can do over what the bare server can, in many short rounds, each between two of the bare server: a machine
 * that is shared changes its speed from one second to the next, and a slow core slows more code down by more. Where
 * anything was disturbed, or the bare server not the same before and after, another round takes its place.
 */
async function sideBySide(
  name: string,
  bare: (seconds: number) => Promise<Rate>,
  ours: (seconds: number) => Promise<Rate>,
): Promise<Figure> {
  const rounds = plan.cost.rounds * SHORTER
  const seconds = plan.cost.seconds / SHORTER
  const all: number[] = []
  const undisturbed: number[] = []
  for (let before = await bare(seconds); undisturbed.length < rounds && all.length < 2 * rounds; ) {
    const between = await ours(seconds)
    const after = await bare(seconds)
    const over = (2 * between.rate) / (before.rate + after.rate)
    all.push(over)
    const change = Math.max(before.rate, after.rate) / Math.min(before.rate, after.rate) - 1
    if (change <= STEADY && !before.dirty && !between.dirty && !after.dirty) undisturbed.push(over)
    before = after
  }
  if (undisturbed.length >= rounds / 2) return figure(undisturbed)
  dirtyPoints.push(`${name} (${undisturbed.length} of ${all.length} rounds were not)`)
  return figure(all)
}

/** How much of the peak is left with the protection: the handlers of the bench, and one that does nothing at all. */
export async function measurePeak(): Promise<Readonly<Record<string, Figure>>> {
  const peaks: Record<string, Figure> = {}
  for (const name of plan.cost.handlers) {
    peaks[name] = await peakOf(
      await startServer({ subject: 'none', handler: name }),
      await startServer({ subject: 'spillway', handler: name }),
      name,
      handlers[name].concurrency,
    )
  }
  peaks.nothing = await peakOf(
    await startServer('hello'),
    await startServer('guardedHello'),
    'cpu',
    CONNECTIONS,
  )
  return peaks
}

async function peakOf(
  bare: Running,
  ours: Running,
  kinds: HandlerName,
  connections: number,
): Promise<Figure> {
  const served = async (server: Running, seconds: number): Promise<Rate> => {
    const { port, pid } = server
    const load = { port, pid, kinds: kindsOf(kinds), connections, seconds, settle: SETTLE_S }
    const { outcome, dirty } = await watched(server, async () => ({ outcome: await closedLoad(load) }))
    const { served, cpuMs, seconds: lasted } = outcome
    return { rate: served / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs), dirty }
  }
  const warm = [{ path: warmPath, weight: 1, label: warmPath }]
  for (const { port } of [bare, ours]) {
    await closedLoad({ port, kinds: warm, connections: CONNECTIONS, seconds: plan.cost.warmUp })
  }
  for (const server of [bare, ours]) await served(server, plan.cost.seconds)
  const overBare = await sideBySide(
    `peak, ${kinds}`,
    seconds => served(bare, seconds),
    seconds => served(ours, seconds),
  )
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return overBare
}

export interface IdleCost {
  readonly microseconds: Figure
  /** Turns of the loop for each request, with the protection less without it. */
  readonly turns: number
}

export async function measureIdle(): Promise<IdleCost> {
  const child = start(new URL('./idle.ts', import.meta.url), [
    String(plan.cost.rounds),
    String(plan.cost.seconds),
  ])
  const { micros, turns } = await child.next<{ micros: number[]; turns: number }>()
  await child.stop()
  return { microseconds: figure(micros), turns }
}
