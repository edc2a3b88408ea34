/** How long everything takes: the full run is for figures, the quick one to see that all of it works. */
import { quick } from '../lib/report.ts'
import { type HandlerName, handlers } from './handlers.ts'
import type { SubjectName } from './subjects.ts'

/** One load after the other on the same server, as multiples of the capacity, each for so many seconds. */
export type Journey = readonly Stage[]

export interface Stage {
  readonly load: number
  readonly seconds: number
  /** How long it runs before that, until its figures begin. */
  readonly settle?: number
}

export interface Plan {
  readonly subjects: readonly SubjectName[]
  /** What each server goes through before it begins anew: as much as it can serve, then too much, then rehearsals. */
  readonly warmUp: {
    readonly serving: number
    readonly connections: number
    readonly refusing: number
    /** For how long a rehearsal goes on, and how often at most. */
    readonly rehearsal: number
    readonly rehearsals: number
  }
  /** For how long half of the capacity is asked for before more is. */
  readonly lead: number
  readonly capacity: {
    readonly warmUp: number
    readonly rounds: number
    readonly seconds: number
    /** A third of it, for the times of requests that nothing holds up. */
    readonly unloaded: number
  }
  /** The journey of the pictures over time. */
  readonly step: Journey
  /** Each on a fresh server. A load above 1 has a point of the curve, and below as well where it is not 0.5. */
  readonly ours: readonly Journey[]
  readonly peers: readonly Journey[]
  /** 0.9 of the capacity, and then 0.7 with a pause of 80 ms so often. Without it the curve has to do. */
  readonly calm:
    | { readonly nearlyFullSeconds: number; readonly seconds: number; readonly everyMs: number }
    | undefined
  readonly retry: {
    /** In front of the first handler. */
    readonly subjects: readonly SubjectName[]
    /** With ours in front. */
    readonly others: readonly HandlerName[]
    /** For how long there is too much; the peers are down for good after less. */
    readonly trigger: { readonly ours: number; readonly peers: number }
    readonly after: number
  }
  /** Clients that open a connection for each request, in front of the first handler. */
  readonly churn: {
    readonly subjects: readonly SubjectName[]
    readonly load: number
    readonly settle: number
    readonly seconds: number
  }
  readonly critical: {
    readonly handlers: readonly HandlerName[]
    readonly settle: number
    readonly seconds: number
  }
  readonly tenants: { readonly handlers: readonly HandlerName[]; readonly seconds: number }
  readonly cost: {
    /** How long each server answers what costs nothing, so that its code is compiled, before anything counts. */
    readonly warmUp: number
    /** How many processes refuse, each beside a bare one, and in how many rounds of short floods they warm up at most. */
    readonly pairs: number
    readonly floods: number
    /** For how long it has to refuse before its refusals count. */
    readonly settle: number
    /** And to serve before that counts. */
    readonly begin: number
    /** How often each server goes through what is measured before it is. */
    readonly rehearsals: number
    readonly rounds: number
    readonly seconds: number
    readonly handlers: readonly HandlerName[]
  }
}

const all: readonly SubjectName[] = [
  'none',
  'toobusy',
  'overloadProtection',
  'underPressure',
  'bbr',
  'gradient2',
  'spillway',
]

/** For how long a load that is too much has been there when its figures begin. What comes before is the step. */
const settle = 0.6

const step: Journey = [
  { load: 0.5, seconds: 0.4 },
  { load: 4, settle, seconds: 0.5 },
  { load: 0.5, seconds: 0.7 },
]

const full: Plan = {
  subjects: all,
  warmUp: { serving: 0.2, connections: 128, refusing: 0.4, rehearsal: 0.4, rehearsals: 4 },
  lead: 0.5,
  capacity: { warmUp: 0.8, rounds: 4, seconds: 0.7, unloaded: 1.2 },
  step,
  ours: [
    [
      { load: 0.7, seconds: 0.4 },
      { load: 0.9, seconds: 0.4 },
      { load: 1, seconds: 0.6 },
      { load: 2, settle, seconds: 2 },
      { load: 0.5, seconds: 0.4 },
      { load: 4, settle, seconds: 2 },
    ],
    step,
    [
      { load: 0.5, seconds: 0.4 },
      { load: 8, settle, seconds: 2 },
    ],
  ],
  peers: [
    [
      // What toobusy-js knows is the module's: a server that begins anew has still to forget its warm-up.
      { load: 0.7, settle: 0.4, seconds: 0.2 },
      { load: 0.9, seconds: 0.2 },
      { load: 1, seconds: 0.2 },
      { load: 2, settle: 0.3, seconds: 0.4 },
    ],
    // Some of them look at the loop once a second only, and let many in at a time.
    [...step, { load: 8, settle: 0.4, seconds: 0.8 }],
  ],
  calm: { nearlyFullSeconds: 3, seconds: 6.5, everyMs: 5_000 },
  retry: { subjects: all, others: ['mixed'], trigger: { ours: 10, peers: 1.5 }, after: 1 },
  churn: { subjects: all, load: 4, settle, seconds: 1.2 },
  critical: { handlers: ['cpu', 'mixed', 'pool', 'costMix', 'deferred', 'post'], settle, seconds: 2.5 },
  tenants: { handlers: ['cpu', 'pool'], seconds: 6 },
  cost: {
    warmUp: 1,
    pairs: 2,
    floods: 5,
    settle: 0.25,
    begin: 0.1,
    rehearsals: 4,
    rounds: 4,
    seconds: 0.6,
    handlers: ['cpu', 'mixed'],
  },
}

const small: Plan = {
  subjects: ['overloadProtection', 'spillway'],
  // The first refusals cost four times as much as later ones: with less of them there is little left at 8x. To have all
  // of it compiled would take five times as long.
  warmUp: { serving: 0.1, connections: 64, refusing: 0.35, rehearsal: 0, rehearsals: 0 },
  lead: 0.1,
  capacity: { warmUp: 0.15, rounds: 2, seconds: 0.15, unloaded: 0.1 },
  step,
  ours: [
    [
      { load: 0.7, seconds: 0.1 },
      { load: 0.9, seconds: 0.1 },
      { load: 0.5, seconds: 0.1 },
      { load: 4, settle: 0.15, seconds: 0.2 },
      { load: 0.5, seconds: 0.15 },
      { load: 8, settle: 0.15, seconds: 0.2 },
    ],
  ],
  peers: [
    [
      { load: 4, settle: 0.08, seconds: 0.12 },
      { load: 8, settle: 0.08, seconds: 0.12 },
    ],
  ],
  calm: undefined,
  retry: { subjects: ['spillway'], others: [], trigger: { ours: 0.3, peers: 0.3 }, after: 0.3 },
  churn: { subjects: ['spillway'], load: 4, settle: 0.1, seconds: 0.15 },
  critical: { handlers: ['cpu'], settle: 0.1, seconds: 0.3 },
  tenants: { handlers: ['cpu'], seconds: 0.3 },
  cost: {
    warmUp: 0.1,
    pairs: 1,
    floods: 1,
    settle: 0.12,
    begin: 0.03,
    rehearsals: 1,
    rounds: 1,
    seconds: 0.1,
    handlers: ['mixed'],
  },
}

export const plan: Plan = quick ? small : full

/** The journeys of ours in front of a handler: where few requests are most of the work, with more of them where there is too much. */
export function journeysOf(name: HandlerName): readonly Journey[] {
  const { times = 1 } = handlers[name]
  return plan.ours.map(journey =>
    journey.map(stage => (stage.settle === undefined ? stage : { ...stage, seconds: times * stage.seconds })),
  )
}
