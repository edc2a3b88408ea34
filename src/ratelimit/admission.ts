import { addAnswerField, hasAnswerFields } from '../core/answer-fields.ts'
import type { Context } from '../core/context.ts'
import type { Outcome } from '../core/gate.ts'
import type { Rejection } from '../core/rejection.ts'
import { rateLimitField, rateLimitPolicyField } from './header-fields.ts'
import type { AnyLimiter, Decision } from './limiter.ts'
import type { RateLimitOptions } from './rate-limit.ts'
import { refusalOf } from './refusal.ts'
import { letThrough } from './shadow.ts'
import { limitDenied, limitNear, limitShadowed } from './signals.ts'

/** A call that was let in. */
export interface Ticket {
  readonly key: string
  readonly cost: number
  readonly takenAt: number
  readonly decision: Decision
  /** Whether anything was taken: not if the middleware only watches and the limiter denied it. */
  readonly taken: boolean
  readonly near: boolean
}

/** What comes before and after a decision, whoever makes it: key and cost, and who is told what. */
export class Admission {
  readonly name: string
  /** Whether there is anything to do when a call is over. */
  readonly settles: boolean
  private readonly limiter: AnyLimiter
  private readonly key: RateLimitOptions['key']
  private readonly cost: number | ((request: any, context: Context) => number)
  private readonly refundOn: readonly Outcome[]
  private readonly shadow: boolean
  private readonly nearRatio: number
  private readonly headers: boolean
  private readonly retryJitterRatio: number
  private readonly random: () => number
  private readonly onDecision: RateLimitOptions['onDecision']

  constructor(limiter: AnyLimiter, name: string, options: RateLimitOptions) {
    this.limiter = limiter
    this.name = name
    this.key = options.key
    this.cost = options.cost ?? 1
    this.refundOn = options.refundOn ?? []
    this.settles = this.refundOn.length > 0 || limiter.release !== undefined
    this.shadow = options.shadow ?? false
    this.nearRatio = options.nearRatio ?? 0.1
    this.headers = options.headers ?? true
    this.retryJitterRatio = options.retryJitterRatio ?? 0.1
    this.random = options.random ?? Math.random
    this.onDecision = options.onDecision
  }

  keyOf(request: unknown, context: Context): string {
    return this.key === undefined ? '' : (this.key(request, context) ?? '')
  }

  costOf(request: unknown, context: Context): number {
    return typeof this.cost === 'number' ? this.cost : this.cost(request, context)
  }

  refunds(outcome: Outcome): boolean {
    return this.refundOn.length > 0 && this.refundOn.includes(outcome)
  }

  /** Tells everybody about a decision; a ticket or the refusal that it comes to. */
  judge(
    verdict: Decision,
    key: string,
    cost: number,
    takenAt: number,
    request: unknown,
    context: Context,
  ): Ticket | Rejection {
    const decision = this.shadow && !verdict.allowed ? letThrough(verdict) : verdict
    if (this.headers && hasAnswerFields(context)) this.addFields(decision, context)
    this.onDecision?.(decision, request, context)
    if (!decision.allowed) {
      if (limitDenied.active) limitDenied.emit({ key, cost, decision })
      return refusalOf(decision, decision.retryAfterMs * (1 + this.random() * this.retryJitterRatio))
    }
    if (decision.shadowed && limitShadowed.active) limitShadowed.emit({ key, cost, decision })
    const near = decision.remaining <= decision.limit * this.nearRatio && decision.limit !== Infinity
    if (near && limitNear.active) limitNear.emit({ key, cost, decision })
    return { key, cost, takenAt, decision, taken: verdict.allowed, near }
  }

  private addFields(decision: Decision, context: Context): void {
    const state = rateLimitField(decision)
    if (state === '') return
    addAnswerField(context, 'ratelimit', state)
    addAnswerField(context, 'ratelimit-policy', rateLimitPolicyField(this.limiter.policies()))
  }
}
