/**
 * How long a call may take, by what it was given and by what it is part of.
 *
 *   end = min(parent's end - reserve, now + limit)
 */
import type { Context } from '../core/context.ts'
import { numberOption } from '../core/options.ts'
import { deadlineExceeded, Rejection } from '../core/rejection.ts'
import type { Expiry } from '../core/scope.ts'

export interface LimitOptions {
  /** Kept back from what the parent leaves, so that there is time to answer when this runs out. @default 0 */
  readonly reserveMs?: number
  /** With less time than this the call is refused without being made. @default 1 */
  readonly minUsefulMs?: number
  /** Names the policy in refusals. */
  readonly name?: string
}

/** Longer, and the timers of Node and of most drivers fire at once. */
const MAX_LIMIT_MS = 2_147_483_647

export function checkLimit(name: string, value: unknown): number {
  return numberOption(name, value, { min: 0, above: true, max: MAX_LIMIT_MS })
}

export class TimeLimit {
  readonly policy: string
  readonly limitMs: number
  readonly reserveMs: number
  readonly minUsefulMs: number
  private readonly outOfLimit: Expiry
  private readonly outOfTime: Expiry

  /** `final` for a limit of the whole call: when it has run out, nobody has time to try again. */
  constructor(policy: string, limitMs: number, options: LimitOptions, final: boolean) {
    this.policy = policy
    this.limitMs = limitMs
    this.reserveMs = numberOption('reserveMs', options.reserveMs ?? 0, { min: 0 })
    this.minUsefulMs = numberOption('minUsefulMs', options.minUsefulMs ?? 1, { min: 0 })
    this.outOfLimit = () => limitExceeded(policy, this.limitMs, final)
    this.outOfTime = () =>
      deadlineExceeded(policy, true, `${this.reserveMs} ms before the end of the whole call`)
  }

  /** When a call that begins now must have ended; a refusal if that leaves it too little time. */
  end(context: Context, now: number): number | Rejection {
    const left = context.deadline - this.reserveMs
    const own = now + this.limitMs
    const end = own < left ? own : left
    if (msLeft(end, now) >= this.minUsefulMs) return end
    return deadlineExceeded(this.policy, false, `${Math.max(0, Math.floor(msLeft(end, now)))} ms left`)
  }

  /** The context of a call that must have ended at `end`. */
  within(context: Context, end: number): Context {
    const { deadline } = context
    if (end >= deadline) return context
    return context.until(end, end < deadline - this.reserveMs ? this.outOfLimit : this.outOfTime)
  }
}

/**
 * The time from `now` to an `end` that was reckoned from it, and no less for having been rounded: where it passes a
 * power of two, `now + 50` may come out a hair low, and 50 ms would count as 49.
 */
export function msLeft(end: number, now: number): number {
  return end - now + end * Number.EPSILON
}

function limitExceeded(policy: string, limitMs: number, final: boolean): Rejection {
  const detail = `after ${limitMs} ms`
  if (final) return deadlineExceeded(policy, true, detail)
  return new Rejection({
    reason: 'deadline-exceeded',
    policy,
    retry: 'later',
    retryAfterMs: 0,
    begun: true,
    detail,
  })
}
