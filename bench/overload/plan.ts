/** How long everything takes: the full run is for figures, the quick one to see that all of it works. */
import { quick } from '../lib/report.ts'
import type { HandlerName } from './handlers.ts'
import type { SubjectName } from './subjects.ts'

/** The loads of the curves, as multiples of the capacity. */
export const loads = [0.7, 0.9, 1, 2, 4, 8] as const

export interface CurveSeconds {
  /** Below and at the capacity, each. */
  readonly calm: number
  /** At twice and at eight times it, each, once it has settled. */
  readonly hot: number
  /** At four times it, once it has settled, and at half of it before and after. */
  readonly step: { readonly before: number; readonly hot: number; readonly after: number }
}

const step = { before: 1.2, hot: 2, after: 1.2 }

export interface Plan {
  readonly subjects: readonly SubjectName[]
  /** How long a server is used before anything counts. */
  readonly warmUp: number
  readonly capacity: { readonly rounds: number; readonly seconds: number }
  readonly ours: CurveSeconds
  readonly peers: CurveSeconds
  /** 0.7 of the capacity with a pause of 80 ms so often, and 0.9. */
  readonly pause: { readonly everyMs: number; readonly seconds: number }
  readonly nearlyFullSeconds: number
  readonly retry: {
    /** In front of the first handler. */
    readonly subjects: readonly SubjectName[]
    /** With ours in front. */
    readonly others: readonly HandlerName[]
    readonly trigger: number
    readonly after: number
  }
  readonly critical: { readonly handlers: readonly HandlerName[]; readonly seconds: number }
  readonly tenants: { readonly handlers: readonly HandlerName[]; readonly seconds: number }
  readonly cost: {
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

const full: Plan = {
  subjects: all,
  warmUp: 0.4,
  capacity: { rounds: 3, seconds: 0.7 },
  ours: { calm: 2, hot: 2.5, step },
  peers: { calm: 0.7, hot: 1.5, step },
  pause: { everyMs: 5_000, seconds: 11 },
  nearlyFullSeconds: 8,
  retry: { subjects: all, others: ['mixed', 'pool'], trigger: 10, after: 2.5 },
  critical: { handlers: ['cpu', 'mixed', 'pool', 'costMix', 'deferred', 'post'], seconds: 2.5 },
  tenants: { handlers: ['cpu', 'mixed', 'pool'], seconds: 10 },
  cost: { rounds: 5, seconds: 0.7, handlers: ['cpu', 'mixed', 'post'] },
}

const small: Plan = {
  subjects: ['none', 'overloadProtection', 'gradient2', 'spillway'],
  warmUp: 0.1,
  capacity: { rounds: 1, seconds: 0.3 },
  ours: { calm: 0.15, hot: 0.3, step: { before: 0.3, hot: 0.3, after: 0.3 } },
  peers: { calm: 0, hot: 0.3, step: { before: 0.1, hot: 0.3, after: 0 } },
  pause: { everyMs: 300, seconds: 0.5 },
  nearlyFullSeconds: 0.3,
  retry: { subjects: ['spillway'], others: [], trigger: 1, after: 1 },
  critical: { handlers: ['cpu'], seconds: 0.5 },
  tenants: { handlers: ['cpu'], seconds: 1 },
  cost: { rounds: 1, seconds: 0.2, handlers: ['mixed'] },
}

export const plan: Plan = quick ? small : full
