import type { Outcome } from './gate.ts'
import { isRejection } from './rejection.ts'

/** What a failure means to the gates outside it. It depends on the error alone, so that fusing changes nothing. */
export function outcomeOf(error: unknown): Outcome {
  if (!isRejection(error)) return 'failure'
  if (error.reason === 'deadline-exceeded') return 'timeout'
  return error.reason === 'cancelled' ? 'cancelled' : 'refused'
}
