/**
 * Puts a limiter in the way of calls. One that answers at once becomes a gate; one that may have to wait, or a cost
 * that is known only from the answer, becomes a layer.
 */
import { gate, layer } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import type { Rejection } from '../core/rejection.ts'
import { Admission, type Ticket } from './admission.ts'
import { limited } from './limited.ts'
import type { AnyLimiter, Decision, Limiter } from './limiter.ts'
import { nearLimit } from './signals.ts'

export interface RateLimitOptions<Req = any, Res = any> {
  /**
   * Whose limit it is. All calls for which it gives `undefined` share one limit.
   * @default everybody shares one limit
   */
  readonly key?: (request: Req, context: Context) => string | undefined
  /** What the call costs, a whole number; 0 costs nothing and is granted unless the key is blocked. @default 1 */
  readonly cost?: number | ((request: Req, context: Context) => number)
  /** What it did cost, once it has been answered: the difference to `cost` is given back or charged. @default cost */
  readonly actualCost?: (response: Res, request: Req) => number
  /** How a call must come out for its cost to be given back: `['refused']` charges only for work that began. @default [] */
  readonly refundOn?: readonly Outcome[]
  /** Lets everything through, and only counts and tells what would have been refused. @default false */
  readonly shadow?: boolean
  /** A call that leaves no more than this part of the limit is told of it: see `nearLimit`, `limitNear`. @default 0.1 */
  readonly nearRatio?: number
  /** Adds `RateLimit` and `RateLimit-Policy` to the answer. @default true */
  readonly headers?: boolean
  /**
   * Adds up to so much to the wait that a refused caller is told, at random, so that those who were refused together
   * do not come back together. The limit itself is exact.
   * @default 0.1
   */
  readonly retryJitterRatio?: number
  /** Called with each decision. */
  readonly onDecision?: (decision: Decision, request: Req, context: Context) => void
  /** Names the middleware. @default the limiter's name */
  readonly name?: string
  /** @default Math.random */
  readonly random?: () => number
}

const known: readonly (keyof RateLimitOptions)[] = [
  'key',
  'cost',
  'actualCost',
  'refundOn',
  'shadow',
  'nearRatio',
  'headers',
  'retryJitterRatio',
  'onDecision',
  'name',
  'random',
]

/** Refuses the calls that `limiter` denies, with the reason `rate-limited`. */
export function rateLimit<Req = unknown, Res = unknown>(
  limiter: AnyLimiter,
  options: RateLimitOptions<Req, Res> = {},
): Protection<Req, Res> {
  check(limiter, options)
  const name = nameOption('name', options.name ?? limiter.name)
  const admission = new Admission(limiter, name, options)
  if (limiter.immediate && options.actualCost === undefined) {
    return gate<Req, Ticket>(new RateLimitGate(admission, limiter))
  }
  return layer<Req, Res>({ kind: 'rate-limit', name }, next =>
    limited(admission, limiter, next, options.actualCost),
  )
}

class RateLimitGate implements Gate<any, Ticket> {
  readonly kind: 'rate-limit'
  readonly name: string
  readonly until: 'answer' | 'work'
  private readonly admission: Admission
  private readonly limiter: Limiter

  constructor(admission: Admission, limiter: Limiter) {
    this.kind = 'rate-limit'
    this.name = admission.name
    // What is held for work is held until that work is over, answered or not.
    this.until = limiter.release === undefined ? 'answer' : 'work'
    this.admission = admission
    this.limiter = limiter
  }

  admit(request: unknown, context: Context, now: number): Ticket | Rejection {
    const { admission } = this
    const key = admission.keyOf(request, context)
    const cost = admission.costOf(request, context)
    return admission.judge(this.limiter.take(key, cost, now), key, cost, now, request, context)
  }

  narrow(context: Context, ticket: Ticket): Context {
    return ticket.near ? context.with(nearLimit, ticket.decision) : context
  }

  settle(ticket: Ticket, outcome: Outcome, now: number): void {
    if (!this.admission.settles || !ticket.taken) return
    const { key, cost } = ticket
    if (this.admission.refunds(outcome)) this.limiter.refund(key, cost, now, ticket.takenAt)
    else this.limiter.release?.(key, cost, now)
  }
}

function check(limiter: AnyLimiter, options: RateLimitOptions): void {
  if (typeof limiter?.take !== 'function' || typeof limiter.immediate !== 'boolean') {
    throw new TypeError(
      'Expected the first argument of rateLimit() to be a limiter, such as tokenBucket({ ... })',
    )
  }
  knownOptions('rateLimit', options, known)
  if (options.key !== undefined) functionOption('key', options.key)
  if (typeof options.cost !== 'function') numberOption('cost', options.cost ?? 1, { min: 0, integer: true })
  if (options.actualCost !== undefined) functionOption('actualCost', options.actualCost)
  for (const outcome of options.refundOn ?? []) {
    choiceOption('refundOn', outcome, ['success', 'failure', 'refused', 'timeout', 'cancelled'])
  }
  numberOption('nearRatio', options.nearRatio ?? 0, { min: 0, max: 1 })
  numberOption('retryJitterRatio', options.retryJitterRatio ?? 0, { min: 0, max: 10 })
  if (options.onDecision !== undefined) functionOption('onDecision', options.onDecision)
  if (options.random !== undefined) functionOption('random', options.random)
}
