import type { Context } from '../core/context.ts'
import { failureOf } from '../internal/failure.ts'
import { attachFallbackError } from './fallback-error.ts'

/** Whether something else may stand in for the answer that failed with `error`. */
export type Trigger = (error: unknown, context: Context) => boolean

/**
 * Everything that went wrong on the way or over there: refusals, timeouts, connections, server errors. Not what the
 * request is to blame for (4xx, `NOT_FOUND`, `INVALID_ARGUMENT`): the answer to it is that error. And not a call
 * that was cancelled: there is nobody to answer.
 */
export const isTrouble: Trigger = error => {
  const failure = failureOf(error)
  return failure !== 'answered' && failure !== 'cancelled'
}

/**
 * Whether `error` calls for a stand-in, and there is still somebody to give it to. Where that cannot be told, the call
 * fails with its own error, and what `when` threw is attached to that.
 */
export function calledFor(when: Trigger, error: unknown, context: Context): boolean {
  if (context.ended) return false
  try {
    return when(error, context)
  } catch (second) {
    attachFallbackError(error, second)
    return false
  }
}
