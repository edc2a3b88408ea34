import { Rejection } from '../core/rejection.ts'
import type { Decision } from './limiter.ts'

const mark = Symbol.for('spillway.decision')

/**
 * The refusal that a denial comes to. `waitMs` is what the caller is told to wait; it may be more than the decision
 * says, never less.
 */
export function refusalOf(decision: Decision, waitMs: number): Rejection {
  const never = waitMs === Infinity
  const rejection = new Rejection({
    reason: 'rate-limited',
    policy: decision.policy,
    retry: never ? 'never' : 'later',
    retryAfterMs: never ? undefined : waitMs,
    detail: detailOf(decision),
  })
  ;(rejection as { [mark]?: Decision })[mark] = decision
  return rejection
}

/** The decision behind a refusal of `rateLimit`, `undefined` for any other error. */
export function decisionOf(error: unknown): Decision | undefined {
  return typeof error === 'object' && error !== null ? (error as { [mark]?: Decision })[mark] : undefined
}

function detailOf({ limit, remaining, retryAfterMs, source }: Decision): string {
  if (source === 'closed') return 'the store of the limit cannot be reached'
  return retryAfterMs === Infinity
    ? `costs more than the limit of ${limit}, or is blocked for good`
    : `${remaining} of ${limit} left`
}
