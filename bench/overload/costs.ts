/** What the protection itself costs: refusing, serving at full load, serving at none. */
import { start } from '../lib/child.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'
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
  const { rounds, seconds, settle } = plan.cost
  const shares: number[] = []
  /** 503s in a millisecond of processor time on a core at its fastest, once the server has been refusing for a while. */
  const refusals = async (server: Running, handler: HandlerName): Promise<number> => {
    for (let tries = 1; ; tries++) {
      const { port, pid } = server
      const load = { port, pid, kinds: kindsOf(handler), connections: FLOOD, seconds, settle }
      const { refused, served, cpuMs, seconds: lasted, speed } = await watched(server, () => closedLoad(load))
      const share = refused / (refused + served)
      if (share >= LEAST_REFUSED || tries === TRIES) {
        if (server === ours) shares.push(share)
        if (!(share >= LEAST_REFUSED)) dirtyPoints.push(`refusals: only ${percent(share)} refused`)
        return refused / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs) / speed
      }
    }
  }
  for (const server of [ours, bare]) await refusals(server, 'cpu')
  shares.length = 0
  const rates = { bare: [] as number[], ours: [] as number[], post: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    rates.bare.push(await refusals(bare, 'cpu'))
    rates.ours.push(await refusals(ours, 'cpu'))
    rates.post.push(await refusals(bare, 'post'))
  }
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return {
    bareMs: 1 / figure(rates.bare).value,
    barePostMs: 1 / figure(rates.post).value,
    rateOverBare: ratio(rates.ours, rates.bare),
    refused: figure(shares),
  }
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
  const served = async ({ port, pid }: Running): Promise<number> => {
    const load = {
      port,
      pid,
      kinds: kindsOf(kinds),
      connections,
      seconds: plan.cost.seconds,
      settle: SETTLE_S,
    }
    const outcome = await closedLoad(load)
    return outcome.served / (Number.isNaN(outcome.cpuMs) ? outcome.seconds * 1_000 : outcome.cpuMs)
  }
  const rates = { bare: [] as number[], ours: [] as number[] }
  const warm = [{ path: warmPath, weight: 1, label: warmPath }]
  for (const { port } of [bare, ours]) {
    await closedLoad({ port, kinds: warm, connections: CONNECTIONS, seconds: plan.cost.warmUp })
  }
  await served(bare)
  await served(ours)
  for (let round = 0; round < plan.cost.rounds; round++) {
    for (const side of round % 2 === 0 ? (['bare', 'ours'] as const) : (['ours', 'bare'] as const)) {
      rates[side].push(await served(side === 'bare' ? bare : ours))
    }
  }
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return ratio(rates.ours, rates.bare)
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
