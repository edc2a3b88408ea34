import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import { functionOption, knownOptions } from '../core/options.ts'
import { isRejection, type Rejection } from '../core/rejection.ts'
import { warn } from '../core/warn.ts'
import { failureOf } from '../internal/failure.ts'
import type { Breaker, Pass, Verdict } from './breaker.ts'
import { Keyed } from './keyed.ts'

/** Whether an error means that the dependency failed; `'neutral'` when it says nothing about it. */
export type IsFailure = (error: unknown) => boolean | 'neutral'

export interface BreakerOptions {
  /**
   * Which errors are failures of the dependency. One that is not counts as an answer, and so as a success. What was
   * refused further in or cancelled says nothing and is not asked about; what timed out is a failure.
   * @default by the error's code or status: not those that say that the request is at fault (404, INVALID_ARGUMENT)
   */
  readonly isFailure?: IsFailure
}

export interface KeyedBreakerOptions<Req = unknown> extends BreakerOptions {
  /** Which breaker of the registry a call goes by; `undefined` for none. */
  readonly key: (request: Req, context: Context) => string | undefined
}

/** Puts a circuit or a throttle in front of a dependency. Stands inside `retry`, so that it sees each attempt. */
export function breaker(mechanism: Breaker, options?: BreakerOptions): Protection
/** Puts one of many in front of each call: one for every endpoint, backend or tenant. */
export function breaker<Req = unknown>(
  mechanism: Keyed<Breaker>,
  options: KeyedBreakerOptions<Req>,
): Protection<Req>
export function breaker<Req = unknown>(
  mechanism: Breaker | Keyed<Breaker>,
  options: BreakerOptions | KeyedBreakerOptions<Req> = {},
): Protection<Req> {
  if (options.isFailure !== undefined) functionOption('isFailure', options.isFailure)
  if (!(mechanism instanceof Keyed)) {
    knownOptions('breaker', options, ['isFailure'])
    return gate(new BreakerGate(mechanism, mechanism.kind, options.isFailure, mechanism))
  }
  knownOptions('breaker', options, ['isFailure', 'key'])
  const key = functionOption('key', (options as KeyedBreakerOptions<Req>).key)
  return gate(
    new BreakerGate<Req>(mechanism, mechanism.others.kind, options.isFailure, (request, context, now) => {
      const found = key(request, context)
      return found === undefined ? undefined : mechanism.get(found, now)
    }),
  )
}

type Choose<Req> = (request: Req, context: Context, now: number) => Breaker | undefined

class BreakerGate<Req> implements Gate<Req, Pass | undefined> {
  readonly kind: 'breaker' | 'throttle'
  readonly name: string
  private readonly isFailure: IsFailure
  /** The one that all calls go by, if there is one. */
  private readonly only: Breaker | undefined
  private readonly choose: Choose<Req> | undefined

  constructor(
    named: { readonly name: string },
    kind: Breaker['kind'],
    isFailure: IsFailure | undefined,
    which: Breaker | Choose<Req>,
  ) {
    this.kind = kind === 'circuit' ? 'breaker' : 'throttle'
    this.name = named.name
    this.isFailure = isFailure ?? (kind === 'circuit' ? fails : refuses)
    this.only = typeof which === 'function' ? undefined : which
    this.choose = typeof which === 'function' ? which : undefined
  }

  admit(request: Req, context: Context, now: number): Pass | Rejection | undefined {
    const mechanism = this.only ?? this.choose?.(request, context, now)
    return mechanism?.admit(now, context)
  }

  settle(pass: Pass | undefined, outcome: Outcome, now: number, error: unknown): void {
    if (pass === undefined) return
    if (outcome === 'success') pass.settle('success', now)
    else pass.settle(this.judge(outcome, error), now, error)
  }

  private judge(outcome: Outcome, error: unknown): Verdict {
    if (outcome === 'cancelled') return 'neutral'
    if (outcome === 'timeout') return isRejection(error) && !error.begun ? 'neutral' : 'failure'
    if (outcome === 'refused') return standsForFailure(error) ? 'failure' : 'neutral'
    try {
      const failed = this.isFailure(error)
      return failed === 'neutral' ? 'neutral' : failed ? 'failure' : 'success'
    } catch (thrown) {
      warn('SPILLWAY_IS_FAILURE_THREW', `isFailure of ${this.name} threw: ${String(thrown)}`)
      return 'failure'
    }
  }
}

/** A refusal from further in never reached the dependency, save one that stands for what the dependency did. */
function standsForFailure(error: unknown): boolean {
  return isRejection(error, 'fault-injected') || isRejection(error, 'retries-exhausted')
}

/** For a circuit: everything but an answer that the request is at fault. */
function fails(error: unknown): boolean | 'neutral' {
  const failure = failureOf(error)
  return failure === 'cancelled' ? 'neutral' : failure !== 'answered'
}

/** For a throttle, which is about load: whatever was worked on was accepted, though the work failed. */
function refuses(error: unknown): boolean | 'neutral' {
  const failure = failureOf(error)
  return failure === 'cancelled' ? 'neutral' : failure !== 'answered' && failure !== 'broken'
}
