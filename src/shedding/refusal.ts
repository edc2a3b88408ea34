import { cancelled, deadlineExceeded, Rejection, type RetryAdvice } from '../core/rejection.ts'
import type { ShedCall } from './call.ts'
import type { Refusal } from './shedder.ts'

/** Around what, and by how much either way, callers are told to stay away: together they would come back together. */
const AWAY_MS = 1_000
const JITTER = 0.5

/**
 * What a refused caller should do. Nothing has been done, so another replica may be asked, once: whoever has been
 * refused twice is part of an overload that is everywhere.
 */
function adviceFor(call: ShedCall): RetryAdvice {
  return call.again ? 'never' : 'elsewhere'
}

/** For how long a refused caller should stay away, in milliseconds. */
export function awayMs(random: () => number): number {
  return AWAY_MS * (1 + JITTER * (2 * random() - 1))
}

/** The refusal that a caller gets. */
export function rejectionOf(
  policy: string,
  call: ShedCall,
  refusal: Refusal,
  random: () => number,
): Rejection {
  if (refusal === 'late') return deadlineExceeded(policy, false)
  if (refusal === 'gone') return cancelled(policy)
  return new Rejection({
    reason: 'shed',
    policy,
    retry: adviceFor(call),
    retryAfterMs: awayMs(random),
    detail: refusal,
  })
}
