/** How much is left of a run: its parts by the plan, as much slower as those before have been. */
import { quick } from '../lib/report.ts'
import { type HandlerName, handlerNames } from './handlers.ts'
import { type Journey, journeysOf, plan } from './plan.ts'

/** Besides what the plan says: what it takes to start a server, to begin it anew for each journey, and to wait for its core. */
const SERVER_S = 0.4
const JOURNEY_S = 0.6
/** Below that much of the plan nobody knows how much slower than planned the machine is. */
const FIRST_S = quick ? 5 : 30

const startedAt = performance.now()
const parts = partsOf()

/** How long the run has been going, and has still to go from the beginning of this part on. */
export function timeAt(part: string): string {
  const elapsed = (performance.now() - startedAt) / 1_000
  const place = parts.findIndex(([name]) => name === part)
  const sum = (list: typeof parts): number => list.reduce((total, [, seconds]) => total + seconds, 0)
  const before = sum(parts.slice(0, place))
  const pace = before < FIRST_S ? 1 : elapsed / before
  return `${clock(elapsed)}, about ${clock(pace * sum(parts.slice(place)))} left`
}

function partsOf(): (readonly [part: string, seconds: number])[] {
  const { cost } = plan
  const bare = 2 * cost.rounds * (cost.settle + cost.seconds)
  const flood = cost.settle + cost.seconds / 2
  // Each server floods its way to compiled code, mostly in three rounds of three.
  const pair = 2 * (2 * cost.warmUp + 9 * flood) + (cost.rounds + 2) * 2 * flood
  const warm = cost.warmUp + cost.rehearsals * (cost.begin + cost.seconds)
  const peaks =
    (cost.handlers.length + 1) * (2 * warm + (2 * cost.rounds + 3) * (cost.seconds + 2 * cost.begin))
  return [
    ['check', quick ? 2 : 9],
    ['refusals', bare + cost.pairs * pair],
    ...handlerNames.flatMap(name => [
      [name, secondsOf(name)] as const,
      [`${name} peers`, (plan.subjects.length - 1) * secondsOfPeer(name)] as const,
    ]),
    ['costs', peaks + 4 * SERVER_S + cost.rounds * cost.seconds * 2.75],
  ]
}

function secondsOf(name: HandlerName): number {
  const { capacity, calm, critical, tenants, retry } = plan
  const found = capacity.warmUp + capacity.rounds * (capacity.seconds + 0.1) + capacity.unloaded + SERVER_S
  return (
    found +
    served(journeysOf(name)) +
    (calm === undefined ? 0 : calm.nearlyFullSeconds + calm.seconds + JOURNEY_S) +
    (critical.handlers.includes(name) ? critical.settle + critical.seconds + JOURNEY_S : 0) +
    (tenants.handlers.includes(name) ? tenants.seconds + JOURNEY_S : 0) +
    (retry.others.includes(name) ? retry.trigger.ours + retry.after + JOURNEY_S : 0)
  )
}

function secondsOfPeer(name: HandlerName): number {
  const { retry, churn } = plan
  const first = name === handlerNames[0]
  return (
    served(plan.peers) +
    (first && retry.subjects.length > 1 ? retry.trigger.peers + retry.after + JOURNEY_S : 0) +
    (first && churn.subjects.length > 1 ? churn.settle + churn.seconds + JOURNEY_S : 0)
  )
}

/** A server that goes through these journeys. */
function served(journeys: readonly Journey[]): number {
  const stages = journeys.flat().reduce((sum, { settle = 0, seconds }) => sum + settle + seconds, 0)
  const { serving, refusing, rehearsal } = plan.warmUp
  // Mostly twice.
  return SERVER_S + serving + refusing + 2 * (rehearsal + 0.1) + journeys.length * JOURNEY_S + stages
}

function clock(seconds: number): string {
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}
