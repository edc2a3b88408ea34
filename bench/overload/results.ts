/** Everything that a run finds out, in the order in which it does. */
import { progress, quick, table } from '../lib/report.ts'
import type { Figure } from '../lib/stats.ts'
import { type CheckOutcome, checkClients } from './check.ts'
import { fastest } from './core.ts'
import { type IdleCost, measureIdle, measurePeak, measureRefusals, type RefusalCost } from './costs.ts'
import { type Capacity, type Curve, measureCapacity, measureCurve, type Point, pointAt } from './curves.ts'
import { type HandlerName, handlerNames, handlers } from './handlers.ts'
import { journeysOf, plan } from './plan.ts'
import { possibleAt } from './possible.ts'
import { timeAt } from './remaining.ts'
import { allowRepeats, dirtyPoints, percent } from './rig.ts'
import {
  type CalmOutcome,
  type ChurnOutcome,
  type CriticalOutcome,
  measureCalm,
  measureChurn,
  measureCritical,
  measureRetries,
  measureTenants,
  type RetryOutcome,
  type TenantsOutcome,
} from './scenarios.ts'
import { type SubjectName, subjects } from './subjects.ts'

export interface HandlerResults {
  readonly capacity: Capacity
  /**
   * The most that can be served at this load once all others have had a bare 503, as a part of the capacity: on a core
   * as fast as it was when ours was at it.
   */
  readonly possible: Readonly<Record<'4' | '8', number>>
  readonly curves: readonly Curve[]
  readonly calm: CalmOutcome
  readonly critical: CriticalOutcome | undefined
  readonly tenants: TenantsOutcome | undefined
}

/** Other loads than those of the curves, in front of the first handler. */
interface Besides {
  readonly retries: RetryOutcome[]
  /** Ours with clients that retry, in front of the other handlers. */
  readonly retriesOf: Partial<Record<HandlerName, RetryOutcome>>
  /** Clients that open a connection for each request. */
  readonly churn: ChurnOutcome[]
  /** With 0.2 of all requests, which is 1.6 times the capacity. */
  criticalTooMuch: CriticalOutcome | undefined
}

export interface Results extends Readonly<Besides> {
  readonly check: CheckOutcome
  readonly refusals: RefusalCost
  readonly handlers: Readonly<Record<HandlerName, HandlerResults>>
  readonly peak: Readonly<Record<string, Figure>>
  readonly idle: IdleCost
  readonly dirtyPoints: readonly string[]
}

/** A capacity that is exceeded by so much is none: something held the clients up while it was measured. */
const TOO_GOOD = 1.5
const CAPACITY_TRIES = quick ? 1 : 3
const MUCH_SLOWER = 0.75
/** How long it may take in all to measure once more, at the end, what met a core that was much slower. */
const ONCE_MORE_S = quick ? 0 : 40

export async function measureAll(): Promise<Results> {
  progress(`the clients beside autocannon and wrk (${timeAt('check')})`)
  const check = await checkClients()
  progress(`what a refusal costs (${timeAt('refusals')})`)
  let refusals = await measureRefusals()
  const results = {} as Record<HandlerName, HandlerResults>
  const besides: Besides = { retries: [], retriesOf: {}, churn: [], criticalTooMuch: undefined }
  for (const name of handlerNames) results[name] = await measureHandler(name, refusals, besides)
  progress(`\nwhat serving costs more (${timeAt('costs')})`)
  const peak = await measurePeak()
  const idle = await measureIdle()
  await onceMore(results, refusals)
  if (!quick && refusals.rateOverBare.speed < MUCH_SLOWER * fastest) {
    progress('what a refusal costs, once more, as the core was slow')
    const { rateOverBare, refused } = await measureRefusals()
    if (rateOverBare.speed > refusals.rateOverBare.speed) refusals = { ...refusals, rateOverBare, refused }
  }
  return { check, refusals, handlers: results, ...besides, peak, idle, dirtyPoints: [...dirtyPoints] }
}

async function measureHandler(
  name: HandlerName,
  refusals: RefusalCost,
  besides: Besides,
): Promise<HandlerResults> {
  allowRepeats()
  const { capacity, ours } = await measureOurs(name, refusals)
  const calm = (await measureCalm('spillway', name, capacity)) ?? calmOf(ours)
  const critical = plan.critical.handlers.includes(name)
    ? await measureCritical(name, capacity, refusals, 0.1)
    : undefined
  const tenants = plan.tenants.handlers.includes(name)
    ? await measureTenants(name, capacity, refusals)
    : undefined
  await measureBesides('spillway', name, capacity, refusals, besides)
  const curves: Curve[] = []
  progress(`  peers (${timeAt(`${name} peers`)})`)
  for (const subject of plan.subjects) {
    if (subject === 'spillway') continue
    const curve = await measureCurve(subject, name, capacity, plan.peers)
    curves.push(curve)
    progress(row(curve))
    await measureBesides(subject, name, capacity, refusals, besides)
  }
  const possible = possibleOf(name, capacity, refusals, ours)
  return { capacity, possible, curves: [...curves, ours], calm, critical, tenants }
}

function possibleOf(
  name: HandlerName,
  capacity: Capacity,
  refusals: RefusalCost,
  ours: Curve,
): HandlerResults['possible'] {
  const [at4, at8] = [4, 8].map(load =>
    possibleAt(load, name, capacity, refusals, pointAt(ours, load)!.speed),
  )
  return { 4: at4!, 8: at8! }
}

/** Ours, where its core was much slower than when the capacity was found: often that lasts for longer than one handler. */
async function onceMore(results: Record<HandlerName, HandlerResults>, refusals: RefusalCost): Promise<void> {
  const startedAt = performance.now()
  for (const name of handlerNames) {
    if (performance.now() - startedAt >= ONCE_MORE_S * 1_000) return
    const { capacity, curves, calm, critical } = results[name]
    const slow = ({ speed }: { readonly speed: number }): boolean => speed < MUCH_SLOWER * capacity.speed
    if (slowdowns(results[name]).length > 0) {
      progress(`\n${handlers[name].title}, once more, as the core was slow`)
      const after = await measureCurve('spillway', name, capacity, journeysOf(name))
      progress(row(after))
      const before = curves.at(-1)!
      const [at4, at4After] = [before, after].map(curve => pointAt(curve, 4)!.speed)
      // The step as well is that of the faster core.
      const ours = {
        ...(at4After! > at4! ? after : before),
        points: before.points.map(point => faster(point, pointAt(after, point.load)!)),
      }
      const possible = possibleOf(name, capacity, refusals, ours)
      results[name] = { ...results[name], possible, curves: [...curves.slice(0, -1), ours] }
    }
    if (slow(calm)) {
      progress(`${handlers[name].title}: loads that can be served once more, as the core was slow`)
      const after = await measureCalm('spillway', name, capacity)
      results[name] = { ...results[name], calm: faster(calm, after!) }
    }
    if (critical !== undefined && slow(critical)) {
      progress(`${handlers[name].title}: critical requests once more, as the core was slow`)
      const after = await measureCritical(name, capacity, refusals, 0.1)
      results[name] = { ...results[name], critical: faster(critical, after) }
    }
  }
}

/** What was measured on the faster core. */
function faster<T extends { readonly speed: number }>(before: T, after: T): T {
  return after.speed > before.speed ? after : before
}

/** The loads that were too much and met a core a good deal slower than when the capacity was found, and how slow. */
function slowdowns({
  curves,
  capacity,
}: HandlerResults): { readonly load: number; readonly speed: number }[] {
  return [4, 8]
    .map(load => ({ load, speed: pointAt(curves.at(-1)!, load)!.speed / capacity.speed }))
    .filter(({ speed }) => speed < MUCH_SLOWER)
}

/** What is measured in front of the first handler only, on the server that is there for the curve. */
async function measureBesides(
  subject: SubjectName,
  name: HandlerName,
  capacity: Capacity,
  refusals: RefusalCost,
  besides: Besides,
): Promise<void> {
  const ours = subject === 'spillway'
  if (ours && plan.retry.others.includes(name)) {
    besides.retriesOf[name] = await measureRetries(subject, name, capacity)
  }
  if (name !== handlerNames[0]) return
  if (ours && !quick) besides.criticalTooMuch = await measureCritical(name, capacity, refusals, 0.2)
  if (plan.retry.subjects.includes(subject)) {
    besides.retries.push(await measureRetries(subject, name, capacity))
  }
  if (plan.churn.subjects.includes(subject)) besides.churn.push(await measureChurn(subject, name, capacity))
}

/** Ours right after the capacity, because how fast a machine is changes within minutes on one that is shared. */
async function measureOurs(
  name: HandlerName,
  refusals: RefusalCost,
): Promise<{ readonly capacity: Capacity; readonly ours: Curve }> {
  for (let tries = 1; ; tries++) {
    const capacity = await measureCapacity(name)
    const { perSecond, unloadedP99Ms } = capacity
    progress(
      `\n${handlers[name].title}: ${perSecond.toFixed(0)} a second, p99 ${unloadedP99Ms.toFixed(1)} ms unloaded; at 8x ${percent(possibleAt(8, name, capacity, refusals))} is possible (${timeAt(name)})`,
    )
    const ours = await measureCurve('spillway', name, capacity, journeysOf(name))
    progress(row(ours))
    const least = Math.min(...ours.points.filter(({ load }) => load > 1).map(({ goodput }) => goodput))
    if (tries === CAPACITY_TRIES || least < TOO_GOOD) return { capacity, ours }
  }
}

function row({ subject, points }: Curve): string {
  return `  ${subjects[subject].title.padEnd(24)}${points.map(cell).join('  ')}`
}

/** The same from a curve, where nothing longer has been measured. */
function calmOf(curve: Curve): CalmOutcome {
  const [at07, at09] = [0.7, 0.9].map(load => pointAt(curve, load)!)
  return {
    refusedAt07: at07!.refused + at07!.lost,
    refusedAt09: at09!.refused + at09!.lost,
    p99MsAt07: at07!.p99Ms,
    p99MsAt09: at09!.p99Ms,
    speed: at09!.speed,
  }
}

/**
 * Where ours met too much load on a core that was a good deal slower than when the capacity was found, in a line: what
 * was asked for there was more than it says, and the goodput is less. Nothing where there is no such point.
 */
export function slowerPoints(results: Results): string | undefined {
  const slower = handlerNames.flatMap(name =>
    slowdowns(results.handlers[name]).map(({ load, speed }) => `${name} ${load}x (${speed.toFixed(2)})`),
  )
  if (slower.length === 0) return undefined
  return `goodput says little where the core was slower than when the capacity was found: ${slower.join(', ')}`
}

export function cell({ load, goodput, p99Ms, dirty }: Point): string {
  return `${load}x ${goodput.toFixed(2)} (${Number.isNaN(p99Ms) ? '-' : p99Ms.toFixed(0)} ms)${dirty ? '!' : ''}`
}

/** The curves as a table for each handler: goodput, and in parentheses the p99 of what was served. */
export function tables(results: Results): string {
  return handlerNames
    .map(name => {
      const { curves, capacity } = results.handlers[name]
      const loads = curves.at(-1)!.points.map(({ load }) => load)
      const rows = curves.map(curve => [
        subjects[curve.subject].title,
        ...loads.map(load => {
          const point = pointAt(curve, load)
          return point === undefined ? '' : `${point.goodput.toFixed(2)} (${ms(point.p99Ms)})`
        }),
        curve.stepUpS ?? 'never',
        curve.recoveryS ?? 'never',
      ])
      const title = `${handlers[name].title}: ${capacity.perSecond.toFixed(0)} requests a second`
      const head = ['goodput (p99 ms)', ...loads.map(load => `${load}x`), 'up after s', 'calm after s']
      return `${title}\n${table(head, rows)}`
    })
    .join('\n\n')
}

function ms(value: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(0)
}
