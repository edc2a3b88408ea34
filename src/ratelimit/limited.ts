import type { Context } from '../core/context.ts'
import type { Outcome } from '../core/gate.ts'
import type { Handler } from '../core/handler.ts'
import { outcomeOf } from '../core/outcome.ts'
import { isRejection } from '../core/rejection.ts'
import { warn } from '../core/warn.ts'
import { workBehind } from '../core/work.ts'
import { callAfter } from '../internal/call-after.ts'
import type { Admission, Ticket } from './admission.ts'
import type { AnyLimiter, Decision } from './limiter.ts'
import { nearLimit } from './signals.ts'

export type ActualCost<Req, Res> = ((response: Res, request: Req) => number) | undefined

/** A handler behind a limiter that may have to wait, or whose cost is settled with the answer in hand. */
export function limited<Req, Res>(
  admission: Admission,
  limiter: AnyLimiter,
  next: Handler<Req, Res>,
  actualCost: ActualCost<Req, Res>,
): Handler<Req, Res> {
  return (request, context) => {
    const key = admission.keyOf(request, context)
    const cost = admission.costOf(request, context)
    const now = context.clock.now()
    const proceed = (decision: Decision): Promise<Res> => {
      // Somewhere between the question and the answer; the later one, so that a window that the call opened has begun.
      const takenAt = limiter.immediate ? now : context.clock.now()
      const ticket = admission.judge(decision, key, cost, takenAt, request, context)
      if (isRejection(ticket)) return Promise.reject(ticket)
      return new LimitedCall(admission, limiter, ticket, context).run(next, request, actualCost)
    }
    const asked = limiter.immediate ? limiter.take(key, cost, now) : limiter.take(key, cost, context)
    return asked instanceof Promise ? callAfter(asked, proceed) : proceed(asked)
  }
}

/** A call that was let in, until it is over. */
class LimitedCall {
  private readonly admission: Admission
  private readonly limiter: AnyLimiter
  private readonly ticket: Ticket
  private readonly context: Context

  constructor(admission: Admission, limiter: AnyLimiter, ticket: Ticket, context: Context) {
    this.admission = admission
    this.limiter = limiter
    this.ticket = ticket
    this.context = context
  }

  run<Req, Res>(next: Handler<Req, Res>, request: Req, actualCost: ActualCost<Req, Res>): Promise<Res> {
    const { ticket, context } = this
    const { scope } = context
    if (scope.ending !== undefined) {
      // It ended while it waited for its turn, and nothing has been done for it.
      if (ticket.taken) this.adjust(-ticket.cost)
      return Promise.reject(scope.reason)
    }
    let answer: Promise<Res>
    try {
      answer = next(request, ticket.near ? context.with(nearLimit, ticket.decision) : context)
    } catch (error) {
      answer = Promise.reject(error)
    }
    if (!ticket.taken) return answer
    if (this.admission.settles) {
      answer.then(
        () => this.giveBack('success', answer),
        error => this.giveBack(outcomeOf(error), answer),
      )
    }
    if (actualCost !== undefined && !this.admission.refunds('success')) {
      const { cost } = ticket
      answer.then(
        response => this.adjust(actualOf(actualCost, response, request, cost) - cost),
        () => {},
      )
    }
    return answer
  }

  private giveBack(outcome: Outcome, answer: Promise<unknown>): void {
    if (this.admission.refunds(outcome)) {
      this.adjust(-this.ticket.cost)
      return
    }
    if (this.limiter.release === undefined) return
    // What is held for work is held until that work is over, answered or not.
    const work = workBehind(answer)
    if (work === answer) this.release()
    else work.then(this.release, this.release)
  }

  private readonly release = (): void => {
    const { limiter, ticket, context } = this
    if (limiter.immediate) limiter.release!(ticket.key, ticket.cost, context.clock.now())
    else quietly(limiter.release!(ticket.key, ticket.cost, context))
  }

  /** Charges `more`, or gives back if that is below 0. */
  private adjust(more: number): void {
    const { limiter, context } = this
    const { key, takenAt } = this.ticket
    if (more === 0) return
    if (limiter.immediate) {
      const now = context.clock.now()
      if (more > 0) limiter.charge(key, more, now)
      else limiter.refund(key, -more, now, takenAt)
    } else {
      quietly(more > 0 ? limiter.charge(key, more, context) : limiter.refund(key, -more, context, takenAt))
    }
  }
}

/** The answer is there and nobody waits for this any more: a failure has nobody to be told to. */
function quietly(done: void | Promise<void>): void {
  if (done instanceof Promise) done.catch(() => {})
}

/** A good answer is not to be lost because its cost makes no sense: then the cost stays what it was. */
function actualOf<Req, Res>(
  actualCost: (response: Res, request: Req) => number,
  response: Res,
  request: Req,
  cost: number,
): number {
  let actual: unknown
  try {
    actual = actualCost(response, request)
  } catch (error) {
    actual = error
  }
  if (Number.isSafeInteger(actual) && (actual as number) >= 0) return actual as number
  const got =
    typeof actual === 'number' ? 'another number' : actual instanceof Error ? 'an error' : typeof actual
  warn(
    'SPILLWAY_ACTUAL_COST',
    `Expected \`actualCost\` to give a whole number from 0 up, got ${got}. See docs/rate-limiting.md#spillway_actual_cost`,
  )
  return cost
}
