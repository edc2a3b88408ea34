/** The figures of a run, by name. */
import { type Figure, figure } from '../lib/stats.ts'
import { pointAt } from './curves.ts'
import { type HandlerName, handlerNames } from './handlers.ts'
import type { Results } from './results.ts'
import { peerNames, type SubjectName, subjects } from './subjects.ts'

/** Where a peer is the best, and how good. */
export interface Best {
  readonly peer: string
  readonly goodput: number
}

export function figuresOf(results: Results): Record<string, Figure> {
  const figures: Record<string, Figure> = {}
  for (const name of handlerNames) {
    const suffix = name[0]!.toUpperCase() + name.slice(1)
    const { possible, calm } = results.handlers[name]
    for (const load of [8, 4] as const) {
      const ours = pointOf(results, name, 'spillway', load)!
      figures[`goodput${load}x${suffix}`] = one(ours.goodput)
      figures[`bestPeer${load}x${suffix}`] = one(bestPeer(results, name, load).goodput)
      figures[`ofPossible${load}x${suffix}`] = one(ours.goodput / possible[load])
      figures[`p99Ms${load}x${suffix}`] = one(ours.p99Ms)
    }
    const twice = pointOf(results, name, 'spillway', 2)
    if (twice !== undefined) {
      figures[`goodput2x${suffix}`] = one(twice.goodput)
      figures[`p99Ms2x${suffix}`] = one(twice.p99Ms)
    }
    figures[`unloadedP99Ms${suffix}`] = one(results.handlers[name].capacity.unloadedP99Ms)
    figures[`refusedAt07${suffix}`] = one(calm.refusedAt07)
    figures[`refusedAt09${suffix}`] = one(calm.refusedAt09)
  }
  const ours = handlerNames.map(name => ({ name, curve: curveOf(results, name, 'spillway')! }))
  figures.refusedAt07 = worst(handlerNames.map(name => results.handlers[name].calm.refusedAt07))
  figures.refusedAt09 = worst(handlerNames.map(name => results.handlers[name].calm.refusedAt09))
  figures.stepUpS = worst(ours.map(({ curve }) => curve.stepUpS ?? Infinity))
  figures.recoveryS = worst(ours.map(({ curve }) => curve.recoveryS ?? Infinity))
  const retries = [
    ...results.retries.filter(({ subject }) => subject === 'spillway'),
    ...Object.values(results.retriesOf),
  ]
  figures.retryTriggerRecoveryS = worst(retries.map(({ recoveryS }) => recoveryS ?? Infinity))
  const measured = Object.values(results.handlers)
  const critical = measured.flatMap(({ critical }) => critical ?? [])
  figures.criticalGoodput8x = least(critical.map(({ critical }) => critical))
  figures.criticalOfPossible8x = least(critical.map(({ critical, possible }) => critical / possible))
  figures.fairTenantShare = least(measured.flatMap(({ tenants }) => tenants?.others ?? []))
  const churned = results.churn.find(({ subject }) => subject === 'spillway')!
  figures.churnGoodput4x = one(churned.goodput)
  figures.churnP99Ms4x = one(churned.p99Ms)
  figures.churnLost4x = one(churned.lost)
  figures.bestPeerChurn4x = one(
    Math.max(
      0,
      ...results.churn.filter(({ subject }) => peerNames.includes(subject)).map(({ goodput }) => goodput),
    ),
  )
  figures.refusedOfFlood = results.refusals.refused
  figures.refusalRateOverBare = results.refusals.rateOverBare
  figures.bareRefusalUs = one(1_000 * results.refusals.bareMs)
  const { nothing, ...peaks } = results.peak
  figures.peakOverBare = least(Object.values(peaks).map(peak => peak.value))
  figures.peakOverBareNothing = nothing!
  figures.idleCostUs = results.idle.microseconds
  figures.idleTurns = one(results.idle.turns)
  return figures
}

/** The peer with the highest goodput at a load; what has no protection is no peer. */
export function bestPeer(results: Results, handler: HandlerName, load: number): Best {
  const all = peerNames.map(peer => ({
    peer: subjects[peer].title,
    goodput: pointOf(results, handler, peer, load)?.goodput ?? 0,
  }))
  return all.reduce((best, each) => (each.goodput > best.goodput ? each : best))
}

function curveOf(results: Results, handler: HandlerName, subject: SubjectName) {
  return results.handlers[handler].curves.find(curve => curve.subject === subject)
}

function pointOf(results: Results, handler: HandlerName, subject: SubjectName, load: number) {
  const curve = curveOf(results, handler, subject)
  return curve === undefined ? undefined : pointAt(curve, load)
}

function one(value: number): Figure {
  return figure([value])
}

/** The worst of several, where less is better; the others show as its spread. */
function worst(values: readonly number[]): Figure {
  return { ...figure(values), value: Math.max(...values) }
}

/** The same where more is better. */
function least(values: readonly number[]): Figure {
  return { ...figure(values), value: Math.min(...values) }
}
