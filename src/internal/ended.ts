import type { Context } from '../core/context.ts'
import { deadlineExceeded } from '../core/rejection.ts'

/**
 * The answer to a call that has ended before anything was done for it, whether or not its timer has been heard yet;
 * `undefined` for one that may go on.
 */
export function endedAlready(context: Context): Promise<never> | undefined {
  if (!context.ended) return undefined
  const { scope } = context
  return Promise.reject(scope.ending === undefined ? deadlineExceeded('context', false) : scope.reason)
}
