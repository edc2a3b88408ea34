/** Told when a source aborts. */
export interface Follower {
  sourceAborted(reason: unknown): void
}

/**
 * Everybody who follows one signal, behind a single listener on it. A process that hands one signal to all of its
 * calls, so that a shutdown ends them, would otherwise have a listener on it for each call in flight: Node warns of
 * a leak from the eleventh on, and looks through all of them whenever one is added or removed.
 */
class Followers {
  private readonly signal: AbortSignal
  private readonly all = new Set<Follower>()

  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  add(follower: Follower): void {
    if (this.all.size === 0) this.signal.addEventListener('abort', this)
    this.all.add(follower)
  }

  remove(follower: Follower): void {
    if (this.all.delete(follower) && this.all.size === 0) this.signal.removeEventListener('abort', this)
  }

  /** The last to come is the first to be told. Whoever leaves before its turn is not. */
  handleEvent(): void {
    for (const follower of [...this.all].reverse()) {
      if (this.all.has(follower)) follower.sourceAborted(this.signal.reason)
    }
  }
}

const sources = new WeakMap<AbortSignal, Followers>()

/** Tells `follower` when `signal`, which has not aborted yet, does so. */
export function follow(signal: AbortSignal, follower: Follower): void {
  let followers = sources.get(signal)
  if (followers === undefined) {
    followers = new Followers(signal)
    sources.set(signal, followers)
  }
  followers.add(follower)
}

/** Does nothing for one who does not follow `signal`. */
export function unfollow(signal: AbortSignal, follower: Follower): void {
  sources.get(signal)?.remove(follower)
}
