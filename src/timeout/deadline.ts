/**
 * Bounds the time of a call. One that would have less than `minUsefulMs` is refused before it begins. When the end
 * comes the caller has its answer at once, and everything further in is told through the context: signals abort,
 * gRPC calls are cancelled, sockets are closed.
 */
import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import { knownOptions, nameOption } from '../core/options.ts'
import type { Rejection } from '../core/rejection.ts'
import { checkLimit, type LimitOptions, TimeLimit } from './time-limit.ts'

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
  const name = nameOption('name', options.name ?? 'deadline')
  const limit = new TimeLimit(name, checkLimit('totalMs', options.totalMs), options, true)
  return gate(new DeadlineGate('deadline', limit))
}

/**
 * Bounds one attempt: stands inside `retry`. Running out of it is worth another try if the call may be repeated,
 * unlike running out of the whole.
 */
export function attemptDeadline(options: AttemptDeadlineOptions): Protection {
  knownOptions('attemptDeadline', options, ['attemptMs', 'reserveMs', 'minUsefulMs', 'name'])
  const name = nameOption('name', options.name ?? 'attempt-deadline')
  const limit = new TimeLimit(name, checkLimit('attemptMs', options.attemptMs), options, false)
  return gate(new DeadlineGate('attempt-deadline', limit))
}

class DeadlineGate implements Gate<unknown, number> {
  readonly kind: 'deadline' | 'attempt-deadline'
  readonly name: string
  private readonly limit: TimeLimit

  constructor(kind: 'deadline' | 'attempt-deadline', limit: TimeLimit) {
    this.kind = kind
    this.name = limit.policy
    this.limit = limit
  }

  admit(_request: unknown, context: Context, now: number): number | Rejection {
    return this.limit.end(context, now)
  }

  narrow(context: Context, end: number): Context {
    return this.limit.within(context, end)
  }
}
