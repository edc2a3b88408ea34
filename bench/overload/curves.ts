/** Goodput over load, with the step up and the recovery, of one subject in front of one handler. */
import { type Measured, watched } from './core.ts'
import { type HandlerName, handlers } from './handlers.ts'
import { BIN_MS, type OpenOutcome, type Phase, type PhaseOutcome } from './load.ts'
import { type Journey, plan } from './plan.ts'
import { openPoint } from './rig.ts'
import { startServer } from './servers.ts'
import type { SubjectName } from './subjects.ts'
import { closedLoad, kindsOf, openLoad } from './traffic.ts'

export interface Capacity {
  readonly perSecond: number
  /** Which part of the loop's time that takes. */
  readonly use: number
  /** Of requests at a third of it. */
  readonly unloadedP99Ms: number
  /** How fast the core was meanwhile: rounds of the speedometer in a millisecond. */
  readonly speed: number
}

export interface Point {
  readonly load: number
  /** Good answers over capacity. */
  readonly goodput: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of all requests. */
  readonly refused: number
  readonly lost: number
  readonly refusalP50Ms: number
  /** Good answers of each kind over those that were asked for. */
  readonly by: Readonly<Record<string, number>>
  /** How fast the core was: rounds of the speedometer in a millisecond. */
  readonly speed: number
  readonly dirty: boolean
}

export interface Curve extends Step {
  readonly subject: SubjectName
  readonly points: readonly Point[]
}

interface Step {
  /** From the step to four times the capacity until four fifths of it are served; null for never. */
  readonly stepUpS: number | null
  /** From the end of that until nobody is refused or waits any more; null for never. */
  readonly recoveryS: number | null
  /** Good answers a second, over capacity, in each tenth of a second around the step and after it. */
  readonly timeline: readonly number[]
}

/**
 * What a handler can do without anything in front of it: the best of several rounds, as the others were disturbed.
 * All else is measured by it, so rounds whose core others have had do not count as such.
 */
export async function measureCapacity(handler: HandlerName): Promise<Capacity> {
  const kinds = kindsOf(handler)
  const connections = handlers[handler].concurrency
  const server = await startServer({ subject: 'none', handler }, ({ port }) =>
    closedLoad({ port, kinds, connections, seconds: plan.capacity.warmUp }),
  )
  const { port } = server
  const load = { port, kinds, connections }
  const { rounds, seconds } = plan.capacity
  let best = { perSecond: 0, use: 1, speed: 1 }
  for (let round = 0, clean = 0; clean < rounds && round < 1.5 * rounds; round++) {
    const {
      served,
      seconds: lasted,
      cpuMs,
      speed,
      dirty,
    } = await watched(server, () => closedLoad({ ...load, seconds }))
    if (!dirty) clean++
    const perSecond = served / lasted
    if (perSecond > best.perSecond) best = { perSecond, use: Math.min(1, cpuMs / 1_000 / lasted), speed }
  }
  const { perSecond, use, speed } = best
  const unloaded = [phase(0.3, plan.capacity.unloaded, perSecond)]
  const { phases } = await openLoad({ port, kinds, phases: unloaded, retries: 0, seed: 1 })
  await server.child.stop()
  return { perSecond, use: Number.isNaN(use) ? 1 : use, unloadedP99Ms: phases[0]!.p99Ms, speed }
}

export async function measureCurve(
  subject: SubjectName,
  handler: HandlerName,
  { perSecond }: Capacity,
  journeys: readonly Journey[],
): Promise<Curve> {
  const points: Point[] = []
  let step: Step = { stepUpS: null, recoveryS: null, timeline: [] }
  for (const journey of journeys) {
    const legs = journey.flatMap(({ load, seconds, settle }) => [
      ...(settle === undefined ? [] : [{ load, seconds: settle, counts: false }]),
      { load, seconds, counts: load > 0.5 },
    ])
    const phases = legs.map(({ load, seconds }) => phase(load, seconds, perSecond))
    const outcome = await openPoint({ subject, handler }, { phases })
    for (const [i, { load, counts }] of legs.entries()) {
      // A load that a later journey comes by once more has its point already.
      if (!counts || points.some(point => point.load === load)) continue
      points.push(pointOf(load, outcome.phases[i]!, perSecond, outcome))
    }
    // 0.5, 4 until it has settled, 4, 0.5
    const up = legs.findIndex(
      ({ load }, i) => load === 4 && legs[i - 1]?.load === 0.5 && legs[i + 2]?.load === 0.5,
    )
    if (up > 0) step = stepOf(outcome, up, perSecond)
  }
  return { subject, points, ...step }
}

export function pointAt({ points }: Curve, load: number): Point | undefined {
  return points.find(point => point.load === load)
}

export function phase(load: number, seconds: number, perSecond: number): Phase {
  return { ratePerSecond: load * perSecond, seconds }
}

/** Null when the last of a phase was still bad: nobody knows how long that goes on. */
export function recovery({ lastBadS, seconds }: PhaseOutcome): number | null {
  return lastBadS > seconds - 0.1 ? null : lastBadS
}

function pointOf(load: number, outcome: PhaseOutcome, perSecond: number, { speed, dirty }: Measured): Point {
  const { good, sent, seconds } = outcome
  return {
    load,
    // Below the capacity what is served is what is asked for, and how much that was is chance.
    goodput: load <= 1 ? (load * good) / sent : good / seconds / perSecond,
    p50Ms: outcome.p50Ms,
    p99Ms: outcome.p99Ms,
    refused: outcome.refused / sent,
    lost: outcome.lost / sent,
    refusalP50Ms: outcome.refusalP50Ms,
    by: Object.fromEntries(Object.entries(outcome.by).map(([label, own]) => [label, own.good / own.sent])),
    speed,
    dirty,
  }
}

/** What becomes of a step up to the phases `up` and the next, and of the one back to the phase after them. */
function stepOf({ goodByBin, phases }: OpenOutcome, up: number, perSecond: number): Step {
  const start = phases.slice(0, up).reduce((sum, { seconds }) => sum + seconds, 0)
  const end = start + phases[up]!.seconds + phases[up + 1]!.seconds
  return {
    stepUpS: stepUp(goodByBin, start, end, perSecond),
    recoveryS: recovery(phases[up + 2]!),
    timeline: timeline(goodByBin, perSecond),
  }
}

/** The beginning of the first half second after the step in which four fifths of the capacity are served. */
function stepUp(goodByBin: readonly number[], start: number, end: number, perSecond: number): number | null {
  const from = Math.round((start * 1_000) / BIN_MS)
  const to = Math.round((end * 1_000) / BIN_MS)
  const width = Math.min(500 / BIN_MS, (to - from) >> 1)
  for (let bin = from; bin + width <= to; bin++) {
    const good = goodByBin.slice(bin, bin + width).reduce((sum, count) => sum + count, 0)
    if (good >= (0.8 * perSecond * width * BIN_MS) / 1_000) return ((bin - from) * BIN_MS) / 1_000
  }
  return null
}

function timeline(goodByBin: readonly number[], perSecond: number): number[] {
  const bins = 100 / BIN_MS
  return Array.from({ length: Math.floor(goodByBin.length / bins) }, (_, i) => {
    const good = goodByBin.slice(i * bins, (i + 1) * bins).reduce((sum, count) => sum + count, 0)
    return Number((good / (0.1 * perSecond)).toFixed(3))
  })
}
