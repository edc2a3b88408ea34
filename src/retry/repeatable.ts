import { adviceOf } from '../core/advice.ts'
import { failureOf } from '../internal/failure.ts'

/** Whether a call that failed may be made again: by nobody, only if twice is the same as once, or in any case. */
export type Repeatable = 'no' | 'if-idempotent' | 'yes'

/**
 *   repeatable = neverSent(error) or (idempotent(call) and transient(error))
 *
 * Whoever answered has the first word: `never` stops everything, `elsewhere` means that nothing was done. Without a
 * word from them the error's code or status decides. An error that says nothing at all is taken for a transient one,
 * unless it is a mistake in the program; what is not an error is never worth another try.
 */
export function repeatable(error: unknown): Repeatable {
  if (!(error instanceof Error)) return 'no'
  const retry = adviceOf(error)?.retry
  if (retry === 'never') return 'no'
  if (retry === 'elsewhere') return 'yes'
  const failure = failureOf(error)
  if (failure === 'never-sent') return 'yes'
  if (retry === 'later') return 'if-idempotent'
  return failure === 'transient' || failure === 'unknown' ? 'if-idempotent' : 'no'
}
