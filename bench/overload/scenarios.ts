/** Loads that are more than a rate: pauses, clients that retry, classes, tenants. */
import type { BareRefusal } from './costs.ts'
import { type Capacity, phase, recovery } from './curves.ts'
import type { HandlerName } from './handlers.ts'
import type { RequestKind } from './load.ts'
import { plan } from './plan.ts'
import { possibleAt } from './possible.ts'
import { openPoint } from './rig.ts'
import type { SubjectName } from './subjects.ts'
import { kindsOf } from './traffic.ts'

export interface CalmOutcome {
  /** Of all requests. */
  readonly refusedAt07: number
  readonly refusedAt09: number
  readonly p99MsAt07: number
  readonly p99MsAt09: number
  /** How fast the core was: rounds of the speedometer in a millisecond. */
  readonly speed: number
}

/** Loads that can be served: 0.9, and then 0.7 with a pause of 80 ms every so often. */
export async function measureCalm(
  subject: SubjectName,
  handler: HandlerName,
  { perSecond }: Capacity,
): Promise<CalmOutcome | undefined> {
  if (plan.calm === undefined) return undefined
  const { everyMs, seconds, nearlyFullSeconds } = plan.calm
  const afterMs = (plan.lead + nearlyFullSeconds) * 1_000
  const { phases, speed } = await openPoint(
    { subject, handler },
    {
      pause: { ms: 80, everyMs, afterMs },
      phases: [
        phase(0.5, plan.lead, perSecond),
        phase(0.9, nearlyFullSeconds, perSecond),
        phase(0.7, seconds, perSecond),
      ],
    },
  )
  const [at09, at07] = [phases[1]!, phases[2]!]
  return {
    refusedAt07: (at07.refused + at07.lost) / at07.sent,
    refusedAt09: (at09.refused + at09.lost) / at09.sent,
    p99MsAt07: at07.p99Ms,
    p99MsAt09: at09.p99Ms,
    speed,
  }
}

export interface RetryOutcome {
  readonly subject: SubjectName
  /** From the end of the trigger until every request is served at once again; null for never. */
  readonly recoveryS: number | null
  /** The good share of the requests that set out after the trigger. */
  readonly goodAfter: number
}

/** Three times the capacity for a while, from clients that try again three times, at once. */
export async function measureRetries(
  subject: SubjectName,
  handler: HandlerName,
  { perSecond }: Capacity,
): Promise<RetryOutcome> {
  const { trigger, after } = plan.retry
  const seconds = subject === 'spillway' ? trigger.ours : trigger.peers
  const outcome = await openPoint(
    { subject, handler },
    {
      phases: [phase(0.7, plan.lead, perSecond), phase(3, seconds, perSecond), phase(0.7, after, perSecond)],
      retries: 3,
    },
  )
  const last = outcome.phases[2]!
  return { subject, recoveryS: recovery(last), goodAfter: last.good / last.sent }
}

export interface ChurnOutcome {
  readonly subject: SubjectName
  /** Good answers over capacity. */
  readonly goodput: number
  readonly p99Ms: number
  /** Of all requests. */
  readonly refused: number
  readonly lost: number
}

/** Too much by far, from clients that open a connection for each request. */
export async function measureChurn(
  subject: SubjectName,
  handler: HandlerName,
  { perSecond }: Capacity,
): Promise<ChurnOutcome> {
  const { load, settle, seconds } = plan.churn
  const { phases } = await openPoint(
    { subject, handler },
    {
      phases: [
        phase(0.5, plan.lead, perSecond),
        phase(load, settle, perSecond),
        phase(load, seconds, perSecond),
      ],
      fresh: true,
    },
  )
  const { good, sent, refused, lost, p99Ms } = phases[2]!
  return { subject, goodput: good / seconds / perSecond, p99Ms, refused: refused / sent, lost: lost / sent }
}

export interface CriticalOutcome {
  /** The good share of each. */
  readonly critical: number
  readonly low: number
  /**
   * What the first can be at most, at the speed of the core: all others have to be refused, but for the part of the work
   * that each class is left.
   */
  readonly possible: number
  /** How fast the core was: rounds of the speedometer in a millisecond. */
  readonly speed: number
}

/** How much of the work a lesser class is left. */
const FLOOR = 0.05

/** Eight times the capacity, of which `share` is critical. */
export async function measureCritical(
  handler: HandlerName,
  capacity: Capacity,
  refusals: BareRefusal,
  share: number,
): Promise<CriticalOutcome> {
  const { perSecond } = capacity
  const kinds: RequestKind[] = kindsOf(handler).flatMap(kind => [
    { ...kind, weight: kind.weight * share, label: 'critical' },
    { ...kind, weight: kind.weight * (1 - share), label: 'low', headers: { 'x-class': 'low' } },
  ])
  const outcome = await openPoint(
    { subject: 'spillway', handler },
    {
      phases: [
        phase(0.5, plan.lead, perSecond),
        phase(8, plan.critical.settle, perSecond),
        phase(8, plan.critical.seconds, perSecond),
      ],
      kinds,
    },
  )
  const { by } = outcome.phases[2]!
  const possible = possibleAt(8, handler, capacity, refusals, outcome.speed)
  return {
    critical: by.critical!.good / by.critical!.sent,
    low: by.low!.good / by.low!.sent,
    possible: Math.min(1, ((1 - FLOOR) * possible) / (8 * share)),
    speed: outcome.speed,
  }
}

const TENANTS = 10
const FLOOD = 20

export interface TenantsOutcome {
  /** What each of the others got over its fair share, and the least of that. */
  readonly others: readonly number[]
  readonly least: number
  /** The same of the one that floods. */
  readonly flood: number
}

/**
 * Ten tenants; each asks for a tenth of the capacity, but one for twenty times that. What is possible while all else is
 * refused, at the speed of the core, is dealt out evenly, and what one does not ask for goes to the others: that is the
 * fair share of each.
 */
export async function measureTenants(
  handler: HandlerName,
  capacity: Capacity,
  refusals: BareRefusal,
): Promise<TenantsOutcome> {
  const { perSecond } = capacity
  const share = 1 / TENANTS
  const asks = Array.from({ length: TENANTS }, (_, i) => (i === 0 ? FLOOD * share : share))
  const total = asks.reduce((sum, ask) => sum + ask, 0)
  const kinds: RequestKind[] = kindsOf(handler).flatMap(kind =>
    asks.map((ask, i) => ({
      ...kind,
      weight: kind.weight * ask,
      label: `tenant-${i}`,
      headers: { 'x-tenant': `tenant-${i}` },
    })),
  )
  const { seconds } = plan.tenants
  const outcome = await openPoint(
    { subject: 'spillway', handler },
    {
      phases: [
        phase(0.5, plan.lead, perSecond),
        phase(total, plan.lead, perSecond),
        phase(total, seconds, perSecond),
      ],
      kinds,
    },
  )
  const counts = asks.map((_, i) => outcome.phases[2]!.by[`tenant-${i}`]!)
  const possible = possibleAt(total, handler, capacity, refusals, outcome.speed) * perSecond * seconds
  const most = evenly(
    counts.map(({ sent }) => sent),
    possible,
  )
  const [flood, ...others] = counts.map(({ good, sent }) => good / Math.min(sent, most))
  return { others, least: Math.min(...others), flood: flood! }
}

/** How much each gets at most when `amount` is dealt out evenly to those who ask for so much. */
function evenly(asked: readonly number[], amount: number): number {
  let left = amount
  for (const [i, ask] of asked.toSorted((a, b) => a - b).entries()) {
    const level = left / (asked.length - i)
    if (ask >= level) return level
    left -= ask
  }
  return Infinity
}
