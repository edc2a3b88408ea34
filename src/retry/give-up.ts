import { adviceOf, advise } from '../core/advice.ts'
import { isRejection, Rejection } from '../core/rejection.ts'

const attempts = new WeakMap<object, number>()

/** How many attempts were made before a `retry` or a `hedge` let this error through; `undefined` if it was the first. */
export function attemptsOf(error: unknown): number | undefined {
  return typeof error === 'object' && error !== null ? attempts.get(error) : undefined
}

/**
 * Marks an error as final, so that no layer tries the call again, in this process or before it, and returns it:
 * `throw stop(new Error('no such order'))`.
 */
export function stop<E>(error: E): E {
  advise(error, { retry: 'never' })
  return error
}

/**
 * The error to pass up after so many attempts; `final` when another one was wanted and could not be had. An error
 * from outside the kit keeps its identity. A refusal of the kit is copied, because whoever made it may hand out
 * the same object again.
 */
export function passUp(error: unknown, made: number, final: boolean, policy: string): unknown {
  const passed = final ? finalOf(error, policy) : made > 1 && isRejection(error) ? copy(error) : error
  if (made > 1 && typeof passed === 'object' && passed !== null) attempts.set(passed, made)
  return passed
}

function finalOf(error: unknown, policy: string): unknown {
  if (isRejection(error)) return copy(error, 'never')
  if (typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    advise(error, { retry: 'never', retryAfterMs: adviceOf(error)?.retryAfterMs })
    return error
  }
  // Nothing can be written on a frozen error.
  return new Rejection({ reason: 'retries-exhausted', policy, retry: 'never', begun: true, cause: error })
}

function copy(error: Rejection, retry?: 'never'): Rejection {
  const { reason, policy, begun, detail, cause } = error
  const advice = adviceOf(error) ?? error
  const { retryAfterMs } = advice
  return new Rejection({ reason, policy, retry: retry ?? advice.retry, retryAfterMs, begun, detail, cause })
}
