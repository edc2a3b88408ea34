/** What the protection itself costs: refusing, serving at full load, serving at none. */
import { start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import { type Figure, figure } from '../lib/stats.ts'
import { fastest, watched } from './core.ts'
import { type HandlerName, handlers, warmPath } from './handlers.ts'
import { type ClosedOutcome, MAX_CONNECTIONS } from './load.ts'
import { plan } from './plan.ts'
import { dirtyPoints, percent } from './rig.ts'
import { type Running, startServer, untilCompiled } from './servers.ts'
import { closedLoad, kindsOf } from './traffic.ts'

const CONNECTIONS = 64
/** So many clients that ask again at once: nearly all of them have to be refused, and the server is never idle. */
const FLOOD = 128
/** Less than this refused, and it is not refusals that have been measured. */
const LEAST_REFUSED = 0.9
const TRIES = 3
/** So long because the first hundred thousand refusals cost two to four times as much, while V8 compiles and its heap grows. */
const refusingWarmUp = 2 * plan.cost.warmUp
/** The first floods after a long one cost up to eight times as much: they begin with calls that are served. */
const FLOODS = 3
/** How many times as short a round is as the plan has it, and how many more there are where some are disturbed. */
const SHORTER = 2
const MORE = 2
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

/** Of several pairs of processes, because what a refusal costs differs from one process to the next. */
export async function measureRefusals(): Promise<RefusalCost> {
  const shares: number[] = []
  const ratios: Ratio[] = []
  let cost: BareRefusal | undefined
  for (let pair = 1; pair <= plan.cost.pairs; pair++) {
    const ours = await startServer('express503', warmRefusals)
    const bare = await startServer('bare503', warmRefusals)
    ratios.push(
      await sideBySide(
        'refusals',
        plan.cost.rounds,
        seconds => refusals(bare, 'cpu', seconds),
        async seconds => {
          const rate = await refusals(ours, 'cpu', seconds)
          if (!(rate.share >= LEAST_REFUSED)) dirtyPoints.add(`refusals: only ${percent(rate.share)} refused`)
          shares.push(rate.share)
          return rate
        },
      ),
    )
    cost ??= await bareRefusal(bare)
    await Promise.all([bare.child.stop(), ours.child.stop()])
  }
  const speed = figure(ratios.map(ratio => ratio.speed)).value
  const rateOverBare = { ...figure(ratios.map(({ value }) => value)), speed }
  return { ...cost!, rateOverBare, refused: figure(shares) }
}

/** The part of it that other parts of the run need. */
export async function measureBareRefusals(): Promise<BareRefusal> {
  const bare = await startServer('bare503', warmRefusals)
  const cost = await bareRefusal(bare)
  await bare.child.stop()
  return cost
}

/** By how much the core may be slower than at its fastest: a slow one slows this down by more than what it computes. */
const AS_FAST = 0.9

/** In rounds of the speedometer, which take longer as well where the core is slow; of the rounds on a fast core, if any. */
async function bareRefusal(bare: Running): Promise<BareRefusal> {
  const works: number[] = []
  for (const handler of ['cpu', 'post'] as const) {
    const rounds: RefusalRate[] = []
    for (let round = 0; round < plan.cost.rounds; round++) {
      rounds.push(await refusals(bare, handler, plan.cost.seconds, TRIES, MAX_CONNECTIONS))
    }
    const best = Math.max(...rounds.map(({ speed }) => speed))
    works.push(figure(rounds.filter(({ speed }) => speed >= AS_FAST * best).map(({ work }) => work)).value)
  }
  const [bareMs, barePostMs] = works.map(work => work / fastest)
  return { bareMs: bareMs!, barePostMs: barePostMs!, speed: fastest }
}

/** A long flood, and short ones such as are measured until V8 has compiled what those take. */
async function warmRefusals(server: Running): Promise<void> {
  await refusals(server, 'cpu', refusingWarmUp, 1)
  const { floods, seconds } = plan.cost
  await untilCompiled(server.pid, floods, async () => {
    for (let i = 0; i < FLOODS; i++) await refusals(server, 'cpu', seconds / SHORTER, 1)
  })
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
 * anything was disturbed, the core slow, or the bare server not the same before and after, another round takes its place.
 */
async function sideBySide(
  name: string,
  rounds: number,
  bare: (seconds: number) => Promise<Rate>,
  ours: (seconds: number) => Promise<Rate>,
): Promise<Ratio> {
  const seconds = plan.cost.seconds / SHORTER
  const all: RoundRatio[] = []
  const undisturbed: RoundRatio[] = []
  for (let before = await bare(seconds); undisturbed.length < rounds && all.length < MORE * rounds; ) {
    const between = await ours(seconds)
    const after = await bare(seconds)
    const round = { over: (2 * between.rate) / (before.rate + after.rate), speed: between.speed }
    all.push(round)
    const change = Math.max(before.rate, after.rate) / Math.min(before.rate, after.rate) - 1
    if (change <= STEADY && [before, between, after].every(isUndisturbed)) undisturbed.push(round)
    before = after
  }
  const enough = undisturbed.length >= rounds / 2
  if (!enough) dirtyPoints.add(`${name} (${undisturbed.length} of ${all.length} rounds were not)`)
  const counted = enough ? undisturbed : all
  return {
    ...figure(counted.map(({ over }) => over)),
    speed: figure(counted.map(({ speed }) => speed)).value,
  }
}

interface RoundRatio {
  readonly over: number
  readonly speed: number
}

function isUndisturbed({ dirty, speed }: Rate): boolean {
  return !dirty && speed > AS_FAST * fastest
}

/** How much of the peak is left with the protection: the handlers of the bench, and one that does nothing at all. */
export async function measurePeak(): Promise<Readonly<Record<string, Figure>>> {
  const peaks: Record<string, Figure> = {}
  for (const name of plan.cost.handlers) {
    const { concurrency } = handlers[name]
    peaks[name] = await peakOf(
      { subject: 'none', handler: name },
      { subject: 'spillway', handler: name },
      name,
      concurrency,
    )
  }
  peaks.nothing = await peakOf('hello', 'guardedHello', 'cpu', CONNECTIONS)
  return peaks
}

type Spec = Parameters<typeof startServer>[0]

async function peakOf(bare: Spec, ours: Spec, kinds: HandlerName, connections: number): Promise<Figure> {
  const { warmUp, rehearsals, begin, seconds } = plan.cost
  const served = async ({ port, pid }: Running, seconds: number): Promise<ClosedOutcome> =>
    closedLoad({ port, pid, kinds: kindsOf(kinds), connections, seconds, settle: begin })
  const warm = async (server: Running): Promise<void> => {
    // What costs nothing first: of the others there are few in a second.
    const free = [{ path: warmPath, weight: 1, label: warmPath }]
    for (const many of [CONNECTIONS, connections]) {
      await closedLoad({ port: server.port, kinds: free, connections: many, seconds: warmUp / 2 })
    }
    for (let i = 0; i < rehearsals; i++) await served(server, seconds)
  }
  const rateOf = async (server: Running, seconds: number): Promise<Rate> => {
    const { outcome, speed, dirty } = await watched(server, async () => ({
      outcome: await served(server, seconds),
    }))
    const { cpuMs, seconds: lasted } = outcome
    return { rate: outcome.served / (Number.isNaN(cpuMs) ? lasted * 1_000 : cpuMs), speed, dirty }
  }
  const servers = [await startServer(bare, warm), await startServer(ours, warm)] as const
  const overBare = await sideBySide(
    `peak, ${kinds}`,
    plan.cost.rounds * SHORTER,
    seconds => rateOf(servers[0], seconds),
    seconds => rateOf(servers[1], seconds),
  )
  await Promise.all(servers.map(({ child }) => child.stop()))
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
