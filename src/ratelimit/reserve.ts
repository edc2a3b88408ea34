import type { Decision, Limiter } from './limiter.ts'

/** What was set aside for work whose cost is known only afterwards. */
export interface Reservation {
  readonly decision: Decision
  /**
   * What it came to: the rest goes back, or what is missing is charged. Only the first `settle` or `cancel` counts,
   * and neither does anything when nothing was granted.
   */
  settle(actual: number, now?: number): void
  /** The work was not done: all of it goes back. */
  cancel(now?: number): void
}

/** Takes `estimate` now and the difference later: for tokens of a model, bytes of an answer, rows of a query. */
export function reserve(
  limiter: Limiter,
  key: string,
  estimate: number,
  now: number = limiter.clock.now(),
): Reservation {
  const decision = limiter.take(key, estimate, now)
  let open = decision.allowed
  const settle = (actual: number, at?: number): void => {
    if (!Number.isSafeInteger(actual) || actual < 0) {
      throw new RangeError(`Expected \`actual\` to be a whole number from 0 up, got ${String(actual)}`)
    }
    if (!open) return
    open = false
    if (actual < estimate) limiter.refund(key, estimate - actual, at, now)
    else if (actual > estimate) limiter.charge(key, actual - estimate, at)
  }
  return { decision, settle, cancel: at => settle(0, at) }
}
