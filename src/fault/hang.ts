import type { Context } from '../core/context.ts'
import type { Ending, Watcher } from '../core/scope.ts'

/** Calls that are kept waiting until somebody lets them go on. */
export class Hang {
  private readonly held: Set<() => void>

  constructor() {
    this.held = new Set()
  }

  get size(): number {
    return this.held.size
  }

  /** Waits until `release`; rejects with what ended the call if that comes first. */
  wait({ scope }: Context): Promise<void> {
    if (scope.ending !== undefined) return Promise.reject(scope.reason)
    return new Promise((resolve, reject) => {
      const goOn = (): void => {
        this.held.delete(goOn)
        scope.unwatch(watcher)
        resolve()
      }
      const watcher: Watcher = {
        nextWatcher: undefined,
        previousWatcher: undefined,
        scopeEnded: (_ending: Ending, reason: unknown) => {
          this.held.delete(goOn)
          reject(reason)
        },
      }
      this.held.add(goOn)
      if (!scope.endless) scope.watch(watcher)
    })
  }

  /** Lets all of them go on. */
  release(): void {
    for (const goOn of [...this.held]) goOn()
  }
}
