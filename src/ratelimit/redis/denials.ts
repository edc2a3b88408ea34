import type { Decision } from '../limiter.ts'

interface Denial {
  readonly cost: number
  readonly sentAt: number
  readonly until: number
  readonly decision: Decision
}

/**
 * Denials of the shared state that still hold, so that whoever keeps asking is answered from here.
 *
 * Exact: a limit that denies a cost until a time denies every greater cost until then too. Smaller costs are asked
 * for. Time is counted from when the question was sent, so a denial is never kept for longer than it was given.
 * Only a refund by another process can make one too strict, and for no longer than `maxMs`.
 *
 * Two generations of up to `maxKeys / 2` keys: when the younger is full, the older is dropped whole.
 */
export class Denials {
  private readonly half: number
  private readonly maxMs: number
  private young: Map<string, Denial>
  private old: Map<string, Denial>

  constructor(maxKeys: number, maxMs: number) {
    this.half = Math.ceil(maxKeys / 2)
    this.maxMs = maxMs
    this.young = new Map()
    this.old = new Map()
  }

  get size(): number {
    return this.young.size + this.old.size
  }

  find(key: string, cost: number, now: number): Decision | undefined {
    // A key that was just put together has not been hashed, and need not be for nothing.
    if (this.size === 0) return undefined
    const denial = this.held(key)
    if (denial === undefined || cost < denial.cost || cost === 0 || now >= denial.until) return undefined
    return aged(denial.decision, now - denial.sentAt)
  }

  note(key: string, cost: number, decision: Decision, sentAt: number, now: number): void {
    if (this.half === 0 || cost === 0) return
    const until = sentAt + Math.min(decision.retryAfterMs, this.maxMs)
    if (until <= now) return
    const held = this.held(key)
    if (held !== undefined && held.cost < cost && held.until > now) return
    if (this.young.size >= this.half && !this.young.has(key)) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(key, { cost, sentAt, until, decision })
  }

  forget(key: string): void {
    this.young.delete(key)
    this.old.delete(key)
  }

  clear(): void {
    this.young.clear()
    this.old.clear()
  }

  private held(key: string): Denial | undefined {
    return this.young.get(key) ?? this.old.get(key)
  }
}

/** A denial as it stands `ms` later. What came back meanwhile is not known here, so `remaining` stays. */
function aged(decision: Decision, ms: number): Decision {
  return {
    ...decision,
    retryAfterMs: Math.max(0, decision.retryAfterMs - ms),
    resetAfterMs: Math.max(0, decision.resetAfterMs - ms),
    source: 'cache',
    parts: decision.parts?.map(part => aged(part, ms)),
  }
}
