/** Goodput over load, with the step up and the recovery, of one subject in front of one handler. */
import { type HandlerName, handlers } from './handlers.ts'
import { BIN_MS, type OpenOutcome, type Phase, type PhaseOutcome } from './load.ts'
import { type CurveSeconds, plan } from './plan.ts'
import { closedLoad, kindsOf, type Measured, openPoint, startServer, watched } from './rig.ts'
import type { SubjectName } from './subjects.ts'

/** How long after a change of load the figures of the new load begin. What happens before is the step. */
export const SETTLE_S = 0.5

export interface Capacity {
  readonly perSecond: number
  /** Which part of the loop's time that takes. */
  readonly use: number
  /** Of requests at a third of it. */
  readonly unloadedP99Ms: number
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
  readonly dirty: boolean
}

export interface Curve {
  readonly subject: SubjectName
  readonly points: readonly Point[]
  /** From the step to four times the capacity until four fifths of it are served; null for never. */
  readonly stepUpS: number | null
  /** From the end of that until nobody is refused or waits any more; null for never. */
  readonly recoveryS: number | null
  /** Good answers a second, over capacity, in each tenth of a second around the step and after it. */
  readonly timeline: readonly number[]
}

/** What a handler can do without anything in front of it. */
export async function measureCapacity(handler: HandlerName): Promise<Capacity> {
  const server = await startServer('./server.ts', { subject: 'none', handler })
  const load = { port: server.port, kinds: kindsOf(handler), connections: handlers[handler].concurrency }
  await closedLoad({ ...load, seconds: plan.warmUp })
  const rounds: { perSecond: number; use: number }[] = []
  for (let round = 0; round < plan.capacity.rounds; round++) {
    const { served, seconds, cpuMs } = await watched(server, () =>
      closedLoad({ ...load, seconds: plan.capacity.seconds }),
    )
    rounds.push({ perSecond: served / seconds, use: Math.min(1, cpuMs / 1_000 / seconds) })
  }
  await server.child.stop()
  const { perSecond, use } = rounds.toSorted((a, b) => a.perSecond - b.perSecond)[rounds.length >> 1]!
  const unloaded = await openPoint(
    { subject: 'none', handler },
    { phases: [phase(0.3, plan.warmUp, perSecond), phase(0.3, 2 * plan.capacity.seconds, perSecond)] },
  )
  return { perSecond, use: Number.isNaN(use) ? 1 : use, unloadedP99Ms: unloaded.phases[1]!.p99Ms }
}

export async function measureCurve(
  subject: SubjectName,
  handler: HandlerName,
  { perSecond }: Capacity,
  seconds: CurveSeconds,
): Promise<Curve> {
  const spec = { subject, handler }
  const points: Point[] = []
  const add = (load: number, outcome: OpenOutcome & Measured, index: number): void => {
    points.push(pointOf(load, outcome.phases[index]!, perSecond, outcome.dirty))
  }
  const at = (load: number, length: number): Phase => phase(load, length, perSecond)
  if (seconds.calm > 0) {
    const climb = await openPoint(spec, {
      phases: [
        at(0.5, plan.warmUp),
        ...[0.7, 0.9, 1].map(load => at(load, seconds.calm)),
        at(2, SETTLE_S),
        at(2, seconds.hot),
      ],
    })
    for (const [index, load] of [0.7, 0.9, 1].entries()) add(load, climb, index + 1)
    add(2, climb, 5)
  }
  const { before, hot, after: calm } = seconds.step
  const step = await openPoint(spec, {
    phases: [at(0.5, before), at(4, SETTLE_S), at(4, hot), ...(calm > 0 ? [at(0.5, calm)] : [])],
  })
  add(4, step, 2)
  const flood = await openPoint(spec, {
    phases: [at(0.5, plan.warmUp), at(8, SETTLE_S), at(8, seconds.hot)],
  })
  add(8, flood, 2)
  const after = step.phases[3]
  return {
    subject,
    points,
    stepUpS: stepUp(step, perSecond),
    recoveryS: after === undefined ? null : recovery(after),
    timeline: after === undefined ? [] : timeline(step.goodByBin, perSecond),
  }
}

export function phase(load: number, seconds: number, perSecond: number): Phase {
  return { ratePerSecond: load * perSecond, seconds }
}

/** Null when the last of a phase was still bad: nobody knows how long that goes on. */
export function recovery({ lastBadS, seconds }: PhaseOutcome): number | null {
  return lastBadS > seconds - 0.1 ? null : lastBadS
}

function pointOf(load: number, outcome: PhaseOutcome, perSecond: number, dirty: boolean): Point {
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
    dirty,
  }
}

/** The beginning of the first half second after the step in which four fifths of the capacity are served. */
function stepUp({ goodByBin, phases }: OpenOutcome, perSecond: number): number | null {
  const from = Math.round((phases[0]!.seconds * 1_000) / BIN_MS)
  const to = from + Math.round(((phases[1]!.seconds + phases[2]!.seconds) * 1_000) / BIN_MS)
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
