import type { Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Ending, Watcher } from '../core/scope.ts'
import { answeredEarly } from '../core/work.ts'
import { after } from './timer.ts'

/**
 * What `work` comes to, or what ended the call if that comes first. Nothing stays behind on the call or on the
 * work, and a failure of work that nobody waits for any more is not an unhandled one.
 */
export function settleWithin<T>(context: Context, work: Promise<T>): Promise<T> {
  const { scope } = context
  if (scope.endless) return work
  const answer = new Promise<T>((resolve, reject) => {
    const watcher: Watcher = {
      nextWatcher: undefined,
      previousWatcher: undefined,
      scopeEnded(_ending: Ending, reason: unknown) {
        answeredEarly(answer, work)
        reject(reason)
      },
    }
    const ended = scope.ending !== undefined
    if (ended) reject(scope.reason)
    else scope.watch(watcher)
    work.then(
      value => {
        scope.unwatch(watcher)
        resolve(value)
      },
      error => {
        scope.unwatch(watcher)
        reject(error)
      },
    )
  })
  if (scope.ending !== undefined) answeredEarly(answer, work)
  return answer
}

/**
 * What `work` comes to, or the error that `late` makes if that takes longer than `limitMs`. For work that is no part
 * of a call; what becomes of it afterwards is nobody's concern.
 */
export function settleBefore<T>(
  clock: Clock,
  limitMs: number,
  work: Promise<T>,
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const disarm = after(clock, limitMs, () => reject(late()))
    work.then(
      value => {
        disarm()
        resolve(value)
      },
      error => {
        disarm()
        reject(error)
      },
    )
  })
}

/** Calls `work`; one that throws at once has failed like any other. */
export function attempt<T>(work: () => T | PromiseLike<T>): Promise<T> {
  return new Promise(resolve => resolve(work()))
}
