import type { Criticality } from '../core/criticality.ts'
import type { Mechanism } from '../core/mechanism.ts'
import type { Rejection } from '../core/rejection.ts'

/**
 * What a call says about the dependency. `success`: it answered. `failure`: it did not, or could not.
 * `neutral`: nothing, because nobody waited for the answer or because the call never got there.
 */
export type Verdict = 'success' | 'failure' | 'neutral'

/** What a breaker wants to know of a call. A `Context` is one. */
export interface CallFacts {
  readonly criticality: Criticality
  /** When the call must have ended; `Infinity` for never. */
  readonly deadline: number
}

/** The right to make one call. Whoever was given it says once how the call came out; saying it again does nothing. */
export interface Pass {
  /** `error` is what the call failed with; only its name and message are kept. */
  settle(verdict: Verdict, now: number, error?: unknown): void
}

/**
 * Decides whether a dependency may be called, from how earlier calls came out. It is synchronous and owns no
 * timer: time comes in as an argument, and what time changes is worked out when somebody asks.
 */
export interface Breaker<Options = any, Snapshot extends object = object>
  extends Mechanism<Options, Snapshot> {
  readonly kind: 'circuit' | 'throttle'
  admit(now: number, call?: CallFacts): Pass | Rejection
  /** Whether a call would be let in. Changes nothing: for load balancers, which look before they choose. */
  canAdmit(now: number, call?: CallFacts): boolean
  /**
   * Whether it must not be forgotten at this moment: it keeps calls away, which would then come through, or somebody
   * has taken it in hand.
   */
  holding(now: number): boolean
}

/**
 * What a refusal tells the caller. `never`: the whole dependency is meant, so trying again anywhere only adds
 * load. `elsewhere`: one endpoint of several is meant, and another may be tried at once.
 */
export type RefusalAdvice = 'never' | 'elsewhere'

/** A call of which nothing is known. */
export const plainCall: CallFacts = { criticality: 'critical', deadline: Infinity }
