/**
 * Bounds the time of a call.
 *
 *   end = min(parent's end - reserve, now + limit)
 *
 * A call that would have less than `minUsefulMs` is refused before it begins. When the end comes the caller has
 * its answer at once, and everything further in is told through the context: signals abort, gRPC calls are
 * cancelled, sockets are closed.
 */
import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { deadlineExceeded, Rejection } from '../core/rejection.ts'
import { type Expiry, Scope } from '../core/scope.ts'

export interface LimitOptions {
  /** Kept back from what the parent leaves, so that there is time to answer when this runs out. @default 0 */
  readonly reserveMs?: number
  /** With less time than this the call is refused without being made. @default 1 */
  readonly minUsefulMs?: number
  /** Names the policy in refusals. */
  readonly name?: string
}

export interface DeadlineOptions extends LimitOptions {
  /** The time for the whole call, every attempt and every wait in it included. */
  readonly totalMs: number
}

export interface AttemptDeadlineOptions extends LimitOptions {
  /** The time for one attempt. */
  readonly attemptMs: number
}

/** Bounds the whole call: stands outside `retry`, so that attempts and the waits between them share the time. */
export function deadline(options: DeadlineOptions): Protection {
  knownOptions('deadline', options, ['totalMs', 'reserveMs', 'minUsefulMs', 'name'])
  return gate(new DeadlineGate('deadline', 'totalMs', options.totalMs, options))
}

/**
 * Bounds one attempt: stands inside `retry`. Running out of it is worth another try if the call may be repeated,
 * unlike running out of the whole.
 */
export function attemptDeadline(options: AttemptDeadlineOptions): Protection {
  knownOptions('attemptDeadline', options, ['attemptMs', 'reserveMs', 'minUsefulMs', 'name'])
  return gate(new DeadlineGate('attempt-deadline', 'attemptMs', options.attemptMs, options))
}

class DeadlineGate implements Gate<unknown, number> {
  readonly kind: 'deadline' | 'attempt-deadline'
  readonly name: string
  private readonly limitMs: number
  private readonly reserveMs: number
  private readonly minUsefulMs: number
  private readonly expiry: Expiry

  constructor(
    kind: 'deadline' | 'attempt-deadline',
    limitName: string,
    limitMs: number,
    options: LimitOptions,
  ) {
    this.kind = kind
    this.name = nameOption('name', options.name ?? kind)
    this.limitMs = numberOption(limitName, limitMs, { min: 0, above: true })
    this.reserveMs = numberOption('reserveMs', options.reserveMs ?? 0, { min: 0 })
    this.minUsefulMs = numberOption('minUsefulMs', options.minUsefulMs ?? 1, { min: 0 })
    this.expiry =
      kind === 'deadline'
        ? () => deadlineExceeded(this.name, true, `after ${limitMs} ms`)
        : () => attemptExceeded(this.name, limitMs)
  }

  admit(_request: unknown, context: Context, now: number): number | Rejection {
    const left = context.deadline - this.reserveMs
    const own = now + this.limitMs
    const end = own < left ? own : left
    if (end - now >= this.minUsefulMs) return end
    return deadlineExceeded(this.name, false, `${Math.max(0, Math.floor(end - now))} ms left`)
  }

  narrow(context: Context, end: number): Context {
    const { scope } = context
    if (end >= scope.deadline) return context
    return context.within(new Scope(scope.clock, scope, end, this.expiry, undefined))
  }
}

function attemptExceeded(policy: string, limitMs: number): Rejection {
  return new Rejection({
    reason: 'deadline-exceeded',
    policy,
    retry: 'later',
    retryAfterMs: 0,
    begun: true,
    detail: `this attempt took more than ${limitMs} ms`,
  })
}
