import type { Alarm, Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Ending, Watcher } from '../core/scope.ts'

/** Runs `callback` once, `delayMs` from now, unless the function that it returns is called first. */
export function after(
  clock: Clock,
  delayMs: number,
  callback: () => void,
  options: { readonly keepAlive?: boolean } = {},
): () => void {
  const alarm: Alarm = {
    at: 0,
    keepAlive: options.keepAlive ?? false,
    next: undefined,
    previous: undefined,
    ring: callback,
  }
  clock.arm(alarm, clock.now() + delayMs)
  return () => clock.disarm(alarm)
}

/**
 * Resolves `delayMs` from now. Rejects at once, with what ended it, when the call ends first; either way neither
 * a timer nor a listener stays behind.
 */
export function sleep(
  context: Context,
  delayMs: number,
  options: { readonly keepAlive?: boolean } = {},
): Promise<void> {
  const { scope } = context
  if (scope.ending !== undefined) return Promise.reject(scope.reason)
  return new Promise((resolve, reject) => {
    const watcher: Watcher = {
      nextWatcher: undefined,
      previousWatcher: undefined,
      scopeEnded(_ending: Ending, reason: unknown) {
        disarm()
        reject(reason)
      },
    }
    const disarm = after(
      context.clock,
      delayMs,
      () => {
        scope.unwatch(watcher)
        resolve()
      },
      options,
    )
    if (!scope.endless) scope.watch(watcher)
  })
}
