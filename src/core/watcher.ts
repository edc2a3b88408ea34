/** Why a scope ended before its call did: its time ran out, or nobody waits for the answer any more. */
export type Ending = 'timeout' | 'cancelled'

/** Told once, when a scope ends. The links belong to the scope. */
export interface Watcher {
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  scopeEnded(ending: Ending, reason: unknown): void
}

/** Whoever has watchers: the last that has come, which leads to the others. */
export interface Watched {
  watchers: Watcher | undefined
}

export function link(watched: Watched, watcher: Watcher): void {
  const first = watched.watchers
  watcher.nextWatcher = first
  if (first !== undefined) first.previousWatcher = watcher
  watched.watchers = watcher
}

/** False for one that is not linked, or not any more. */
export function unlink(watched: Watched, watcher: Watcher): boolean {
  const { nextWatcher, previousWatcher } = watcher
  if (previousWatcher !== undefined) previousWatcher.nextWatcher = nextWatcher
  else if (watched.watchers === watcher) watched.watchers = nextWatcher
  else return false
  if (nextWatcher !== undefined) nextWatcher.previousWatcher = previousWatcher
  watcher.nextWatcher = undefined
  watcher.previousWatcher = undefined
  return true
}

/** Puts `to` where `from` is linked. */
export function relink(watched: Watched, from: Watcher, to: Watcher): void {
  const { nextWatcher, previousWatcher } = from
  to.nextWatcher = nextWatcher
  to.previousWatcher = previousWatcher
  if (nextWatcher !== undefined) nextWatcher.previousWatcher = to
  if (previousWatcher !== undefined) previousWatcher.nextWatcher = to
  else watched.watchers = to
  from.nextWatcher = undefined
  from.previousWatcher = undefined
}
