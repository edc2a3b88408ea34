import { gate, layer } from '../core/chain.ts'
import type { Alarm } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Handler, Protection } from '../core/handler.ts'
import { deadlineExceeded, type Rejection } from '../core/rejection.ts'
import type { Ending, Watcher } from '../core/scope.ts'
import { callAfter } from '../internal/call-after.ts'
import type { Line } from '../internal/line.ts'
import type { Slots, Waiter } from './slots.ts'

/** Which set of places a call belongs to. */
export type Select<Req> = (request: Req, context: Context, now: number) => Slots

/**
 * When a call gives its place back. `work`: when the work has come to an end, though its caller may have had an
 * answer long before. `answer`: when the caller has an answer.
 */
export type HoldUntil = 'work' | 'answer'

interface Held {
  readonly slots: Slots
  readonly startedAt: number
}

/** Places without a line in front of them: a plain gate. */
export function slotGate<Req>(name: string, until: HoldUntil, select: Select<Req>): Protection<Req> {
  return gate<Req, Slots>({
    kind: 'bulkhead',
    name,
    until,
    admit(request, context, now) {
      const slots = select(request, context, now)
      return slots.take() ? slots : slots.full()
    },
    settle(slots, _outcome, now) {
      slots.release(now)
    },
  })
}

/** Places with a line in front of them. */
export function slotQueue<Req>(name: string, until: HoldUntil, select: Select<Req>): Protection<Req> {
  return layer<Req>({ kind: 'bulkhead', name }, <Q extends Req, S>(next: Handler<Q, S>): Handler<Q, S> => {
    const taken = new TakenGate(name, until)
    const held = gate(taken)(next) as Handler<Q, S>
    return (request, context) => {
      const { scope } = context
      if (scope.ending !== undefined) return Promise.reject(scope.reason)
      const now = scope.clock.now()
      if (now >= scope.deadline) return Promise.reject(deadlineExceeded(name, false))
      let slots: Slots
      try {
        slots = select(request, context, now)
      } catch (error) {
        return Promise.reject(error)
      }
      // Whoever was asked for the places may have ended the call, and nobody in line would be told of that.
      if (scope.ending !== undefined) return Promise.reject(scope.reason)
      if (slots.take()) return taken.run(slots, held, request, context)
      const turn = new Promise<void>((resolve, reject) => {
        new LineMember(slots, context, now, resolve, reject).join()
      })
      return callAfter(turn, () => taken.run(slots, held, request, context))
    }
  })
}

/** Holds a place that has been taken already, from the start of the work to its end. */
class TakenGate implements Gate<unknown, Held> {
  readonly kind = 'bulkhead' as const
  readonly name: string
  readonly until: HoldUntil
  /** The place that goes with the call being made at this very moment. */
  private slots: Slots | undefined

  constructor(name: string, until: HoldUntil) {
    this.name = name
    this.until = until
    this.slots = undefined
  }

  run<Q, S>(slots: Slots, held: Handler<Q, S>, request: Q, context: Context): Promise<S> {
    this.slots = slots
    const answer = held(request, context)
    if (this.slots !== undefined) {
      // The call had ended, so it was never admitted, and its place is still to be given back.
      this.slots = undefined
      slots.cede(context.clock.now())
    }
    return answer
  }

  admit(_request: unknown, _context: Context, now: number): Held {
    const slots = this.slots!
    this.slots = undefined
    return { slots, startedAt: now }
  }

  settle({ slots, startedAt }: Held, outcome: Outcome, now: number): void {
    const tells = outcome !== 'refused' && outcome !== 'cancelled'
    slots.release(now, tells ? now - startedAt : undefined)
  }
}

/** A call in line. Its place comes as a resolved promise, so that it goes on as itself and not as who made room. */
class LineMember implements Waiter, Alarm, Watcher {
  readonly keepAlive: boolean
  readonly since: number
  readonly deadline: number
  private readonly slots: Slots
  private readonly context: Context
  private readonly resolve: () => void
  private readonly reject: (error: unknown) => void
  line: Line<Waiter> | undefined
  ahead: Waiter | undefined
  behind: Waiter | undefined
  at: number
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    slots: Slots,
    context: Context,
    now: number,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    // Somebody waits for a call in line, so its turn or its refusal must come.
    this.keepAlive = true
    this.since = now
    this.deadline = context.deadline
    this.slots = slots
    this.context = context
    this.resolve = resolve
    this.reject = reject
    this.line = undefined
    this.ahead = undefined
    this.behind = undefined
    this.at = 0
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  join(): void {
    const { slots, context, since } = this
    const refusal = slots.join(this, context.criticality, since)
    if (refusal !== undefined) {
      this.reject(refusal)
      return
    }
    if (!context.scope.endless) context.scope.watch(this)
    const until = since + slots.present.maxWaitMs
    if (until < this.deadline) context.clock.arm(this, until)
  }

  enter(): void {
    this.letGo()
    this.resolve()
  }

  refuse(rejection: Rejection): void {
    this.letGo()
    this.reject(rejection)
  }

  /** @internal The call ended while it waited. */
  scopeEnded(_ending: Ending, reason: unknown): void {
    this.context.clock.disarm(this)
    this.slots.leave(this)
    this.reject(reason)
  }

  /** @internal It has waited long enough. */
  ring(): void {
    this.context.scope.unwatch(this)
    this.reject(this.slots.expire(this))
  }

  private letGo(): void {
    this.context.scope.unwatch(this)
    this.context.clock.disarm(this)
  }
}
