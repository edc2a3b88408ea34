/** What the protection itself costs: refusing, serving at full load, serving at none. */
import { start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import { type Figure, figure } from '../lib/stats.ts'
import { fastest, watched } from './core.ts'
import { type HandlerName, handlers, warmPath } from './handlers.ts'
import { MAX_CONNECTIONS } from './load.ts'
import { plan } from './plan.ts'
import { dirtyPoints, percent } from './rig.ts'
import { type Running, startServer } from './servers.ts'
import { closedLoad, kindsOf } from './traffic.ts'

const CONNECTIONS = 64
/** So many clients that ask again at once: nearly all of them have to be refused, and the server is never idle. */
const FLOOD = 128
/** Less than this refused, and it is not refusals that have been measured. */
const LEAST_REFUSED = 0.9
const TRIES = 3
/** So long because the first hundred thousand refusals cost two to four times as much, while V8 compiles and its heap grows. */
const refusingWarmUp = 3 * plan.cost.warmUp
/** How many times as many rounds as the plan has, each so much shorter; and how many more where some are disturbed. */
const SHORTER = 2
const MORE = 1.5
/** By how much the bare server may differ from one round to the next. */
const STEADY = 0.15

/** What refusing costs at the least, on as many connections as the load comes by. */
export interface BareRefusal {
  /** Processor time for one 503 of a bare server, in milliseconds, on a core at its fastest until then. */
  readonly bareMs: number
  /** The same with a body of 8 kB to be read past. */
  readonly barePostMs: number
  /** How fast that was, in rounds of the speedometer in a millisecond. */
  readonly speed: number
}

export interface RefusalCost extends BareRefusal {
  /** 503s in a second of processor time: express behind `shedServer` over bare node:http. */
  readonly rateOverBare: Ratio
  /** Which part of what came to express was refused. */
  readonly refused: Figure
}

export async function measureRefusals(): Promise<RefusalCost> {
  const ours = await startServer('express503', warmRefusals)
  const bare = await startServer('bare503', warmRefusals)
  const shares: number[] = []
  const rateOverBare = await sideBySide(
    'refusals',
    seconds => refusals(bare, 'cpu', seconds),
    async seconds => {
      const rate = await refusals(ours, 'cpu', seconds)
      if (!(rate.share >= LEAST_REFUSED)) dirtyPoints.add(`refusals: only ${percent(rate.share)} refused`)
      shares.push(rate.share)
      return rate
    },
  )
  const cost = await bareRefusal(bare)
  await Promise.all([bare.child.stop(), ours.child.stop()])
  return { ...cost, rateOverBare, refused: figure(shares) }
}

/** The part of it that other parts of the run need. */
export async function measureBareRefusals(): Promise<BareRefusal> {
  const bare = await startServer('bare503', warmRefusals)
  const cost = await bareRefusal(bare)
  await bare.child.stop()
  return cost
}

/** By how much the core may be slower than in the fastest of some rounds: it slows this down by more than what it computes. */
const AS_FAST = 0.95

/** In rounds of the speedometer, which take longer as well where the core is slow; of the rounds on a fast core, if any. */
async function bareRefusal(bare: Running): Promise<BareRefusal> {
  const works: number[] = []
  for (const handler of ['cpu', 'post'] as const) {
    const rounds: RefusalRate[] = []
    for (let round = 0; round < plan.cost.rounds; round++) {
      rounds.push(await refusals(bare, handler, plan.cost.seconds, TRIES, MAX_CONNECTIONS))
    }
    const best = Math.max(...rounds.map(({ speed }) => speed))
    works.push(figure(rounds.filter(({ speed }) => speed > AS_FAST * best).map(({ work }) => work)).value)
  }
  const [bareMs, barePostMs] = works.map(work => work / fastest)
  return { bareMs: bareMs!, barePostMs: barePostMs!, speed: fastest }
}

function warmRefusals(server: Running): Promise<unknown> {
  return refusals(server, 'cpu', refusingWarmUp, 1)
}

interface RefusalRate extends Rate {
  /** Which part of all that came was refused. */
  readonly share: number
  /** How many rounds of the speedometer the core would have done meanwhile, for each 503. */
  readonly work: number
}

/** 503s in a millisecond of processor time, once the server has been refusing for a while. */
async function refusals(
  server: Running,
  handler: HandlerName,
  seconds: number,
  most: number = TRIES,
  connections: number = FLOOD,
): Promise<RefusalRate> {
  const { port, pid } = server
  const { settle } = plan.cost
  const load = { port, pid, kinds: kindsOf(handler), connections, seconds, settle }
  for (let tries = 1; ; tries++) {
    // Not the processor time of all that is watched, in which there is that of settling.
    const { outcome, speed, dirty } = await watched(server, async () => ({
      outcome: await closedLoad(load),
    }))
    const { refused, served, cpuMs, seconds: lasted } = outcome
    const share = refused / (refused + served)
    const rate = refused / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs)
    if (share >= LEAST_REFUSED || tries === most) return { rate, share, speed, work: speed / rate, dirty }
  }
}

/** What a server does in a millisecond of processor time, how fast the core was, and whether something has disturbed it. */
interface Rate {
  readonly rate: number
  readonly speed: number
  readonly dirty: boolean
}

export interface Ratio extends Figure {
  /** How fast the core was in the median, in rounds of the speedometer in a millisecond. */
  readonly speed: number
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
): Promise<Ratio> {
  const rounds = plan.cost.rounds * SHORTER
  const seconds = plan.cost.seconds / SHORTER
  const all: number[] = []
  const speeds: number[] = []
  const undisturbed: number[] = []
  for (let before = await bare(seconds); undisturbed.length < rounds && all.length < MORE * rounds; ) {
    const between = await ours(seconds)
    const after = await bare(seconds)
    const over = (2 * between.rate) / (before.rate + after.rate)
    all.push(over)
    speeds.push(between.speed)
    const change = Math.max(before.rate, after.rate) / Math.min(before.rate, after.rate) - 1
    if (change <= STEADY && !before.dirty && !between.dirty && !after.dirty) undisturbed.push(over)
    before = after
  }
  const speed = figure(speeds).value
  if (undisturbed.length >= rounds / 2) return { ...figure(undisturbed), speed }
  dirtyPoints.add(`${name} (${undisturbed.length} of ${all.length} rounds were not)`)
  return { ...figure(all), speed }
}

/** How much of the peak is left with the protection: the handlers of the bench, and one that does nothing at all. */
export async function measurePeak(): Promise<Readonly<Record<string, Figure>>> {
  const peaks: Record<string, Figure> = {}
  for (const name of plan.cost.handlers) {
    peaks[name] = await peakOf(
      await startServer({ subject: 'none', handler: name }, warmPeak),
      await startServer({ subject: 'spillway', handler: name }, warmPeak),
      name,
      handlers[name].concurrency,
    )
  }
  peaks.nothing = await peakOf(
    await startServer('hello', warmPeak),
    await startServer('guardedHello', warmPeak),
    'cpu',
    CONNECTIONS,
  )
  return peaks
}

function warmPeak({ port }: Running): Promise<unknown> {
  const kinds = [{ path: warmPath, weight: 1, label: warmPath }]
  return closedLoad({ port, kinds, connections: CONNECTIONS, seconds: plan.cost.warmUp })
}

async function peakOf(
  bare: Running,
  ours: Running,
  kinds: HandlerName,
  connections: number,
): Promise<Figure> {
  const served = async (server: Running, seconds: number): Promise<Rate> => {
    const { port, pid } = server
    const load = { port, pid, kinds: kindsOf(kinds), connections, seconds, settle: plan.cost.begin }
    const { outcome, speed, dirty } = await watched(server, async () => ({ outcome: await closedLoad(load) }))
    const { served, cpuMs, seconds: lasted } = outcome
    return { rate: served / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs), speed, dirty }
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
  const child = start(compiled(new URL('./idle.ts', import.meta.url)), [
    String(plan.cost.rounds),
    String(plan.cost.seconds),
  ])
  const { micros, turns } = await child.next<{ micros: number[]; turns: number }>()
  await child.stop()
  return { microseconds: figure(micros), turns }
}
