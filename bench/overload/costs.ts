/** What the protection itself costs: refusing, serving at full load, serving at none. */
import { start } from '../lib/child.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'
import { type HandlerName, handlers } from './handlers.ts'
import { plan } from './plan.ts'
import { closedLoad, kindsOf, type Running, startServer, watched } from './rig.ts'

const CONNECTIONS = 64

export interface RefusalCost {
  /** Processor time for one 503 of a bare server, in milliseconds. */
  readonly bareMs: number
  /** The same with a body of 8 kB to be read past. */
  readonly barePostMs: number
  /** 503s in a second of processor time: express behind `shedServer` over bare node:http. */
  readonly rateOverBare: Figure
}

export async function measureRefusals(): Promise<RefusalCost> {
  const bare = await startServer('bare503')
  const ours = await startServer('express503')
  const { rounds, seconds } = plan.cost
  const refusals = async (server: Running, handler: HandlerName, length: number): Promise<number> => {
    const load = { port: server.port, kinds: kindsOf(handler), connections: CONNECTIONS, seconds: length }
    const { refused, cpuMs, seconds: lasted } = await watched(server, () => closedLoad(load))
    return refused / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs)
  }
  // Ours has first to learn how few it can serve.
  await refusals(ours, 'cpu', 3 * seconds)
  await refusals(bare, 'cpu', seconds)
  const rates = { bare: [] as number[], ours: [] as number[], post: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    rates.bare.push(await refusals(bare, 'cpu', seconds))
    rates.ours.push(await refusals(ours, 'cpu', seconds))
    rates.post.push(await refusals(bare, 'post', seconds))
  }
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return {
    bareMs: 1 / figure(rates.bare).value,
    barePostMs: 1 / figure(rates.post).value,
    rateOverBare: ratio(rates.ours, rates.bare),
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
  const served = async (server: Running): Promise<number> => {
    const load = { port: server.port, kinds: kindsOf(kinds), connections, seconds: plan.cost.seconds }
    const outcome = await watched(server, () => closedLoad(load))
    return outcome.served / (Number.isNaN(outcome.cpuMs) ? outcome.seconds * 1_000 : outcome.cpuMs)
  }
  const rates = { bare: [] as number[], ours: [] as number[] }
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
