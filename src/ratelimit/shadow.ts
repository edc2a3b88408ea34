import type { Decision, Limiter } from './limiter.ts'

export interface ShadowSnapshot {
  /** Calls that the limit would have refused. */
  readonly shadowed: number
  /** What the limit itself has to say. */
  readonly limit: object
}

/**
 * A limit that only watches: it counts and decides like `limiter`, and grants everything. What it would have refused
 * is marked `shadowed` and counted. For trying out a limit, or one of several, on live traffic.
 *
 * What is refunded for such a call goes back to the limit all the same, which then looks fuller than it would be.
 */
export function shadow<Options>(limiter: Limiter<Options>): Limiter<Options, ShadowSnapshot> {
  let shadowed = 0
  return {
    immediate: true,
    clock: limiter.clock,
    kind: limiter.kind,
    name: limiter.name,
    take(key, cost, now) {
      const decision = limiter.take(key, cost, now)
      if (decision.allowed) return decision
      shadowed++
      // What is held will be released, so it has to be counted first.
      if (limiter.release !== undefined) limiter.charge(key, cost ?? 1, now)
      return letThrough(decision)
    },
    peek(key, cost, now) {
      const decision = limiter.peek(key, cost, now)
      return decision.allowed ? decision : letThrough(decision)
    },
    refund: (key, cost, now, takenAt) => limiter.refund(key, cost, now, takenAt),
    charge: (key, cost, now) => limiter.charge(key, cost, now),
    block: (key, forMs, now) => limiter.block(key, forMs, now),
    ...(limiter.release && { release: (key, cost, now) => limiter.release!(key, cost, now) }),
    policies: () => limiter.policies(),
    update: partial => limiter.update(partial),
    snapshot: () => ({ shadowed, limit: limiter.snapshot() }),
    reset() {
      shadowed = 0
      limiter.reset()
    },
  }
}

/** A denial that nobody is to feel. */
export function letThrough(decision: Decision): Decision {
  return { ...decision, allowed: true, retryAfterMs: 0, shadowed: true }
}
