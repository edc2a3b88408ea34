import { gate, layer } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Handler, Protection } from '../core/handler.ts'
import { deadlineExceeded } from '../core/rejection.ts'
import { callAfter } from '../internal/call-after.ts'
import type { Loop } from '../internal/event-loop.ts'
import type { Adaptive } from './adaptive.ts'
import type { ShedCall, ShedTask } from './call.ts'
import { type Door, resultOf } from './door.ts'
import { runnerOf } from './runner.ts'
import type { Refusal } from './shedder.ts'

/** A shedder with a queue in the way of calls: those that cannot begin at once wait for their turn. */
export function shedInLine<Req>(shedder: Adaptive, door: Door<Req>, loop: Loop | undefined): Protection<Req> {
  const { name } = door
  const runner = runnerOf(shedder, loop)
  return layer<Req>({ kind: 'shed', name }, <Q extends Req, S>(next: Handler<Q, S>): Handler<Q, S> => {
    const begun = new BegunGate(name)
    const inside = gate(begun)(next) as Handler<Q, S>
    return (request, context) => {
      const { scope } = context
      if (scope.ending !== undefined) return Promise.reject(scope.reason)
      const task = new LineTask(door, context)
      const call = door.callFor(request, context, task)
      if (call === undefined) return next(request, context)
      try {
        runner.submit(call)
      } catch (error) {
        door.broken(error)
        return next(request, context)
      }
      const { refused } = task
      if (refused !== undefined) return Promise.reject(task.rejection(call, refused))
      door.tell(context, scope.clock.now())
      if (task.runs) return begun.run(call, inside, request, context)
      return callAfter(task.wait(call), () => begun.run(call, inside, request, context))
    }
  })
}

/** A call in the queue of a shedder. What it is told before anybody waits for it, it keeps. */
class LineTask implements ShedTask {
  runs: boolean
  refused: Refusal | undefined
  private readonly door: Door<any>
  private readonly context: Context
  private resolve: (() => void) | undefined
  private reject: ((error: unknown) => void) | undefined

  constructor(door: Door<any>, context: Context) {
    this.runs = false
    this.refused = undefined
    this.door = door
    this.context = context
    this.resolve = undefined
    this.reject = undefined
  }

  get gone(): boolean {
    return this.context.ended
  }

  run(): void {
    this.runs = true
    this.resolve?.()
  }

  refuse(call: ShedCall, refusal: Refusal): void {
    this.refused = refusal
    this.reject?.(this.rejection(call, refusal))
  }

  /** A promise, so that the call goes on as itself and not as part of whoever made room for it. */
  wait(call: ShedCall): Promise<void> {
    return new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
      if (this.runs) resolve()
      else if (this.refused !== undefined) reject(this.rejection(call, this.refused))
    })
  }

  rejection(call: ShedCall, refusal: Refusal): unknown {
    const { context } = this
    // Its time may be up before the alarm that says so has rung.
    if (refusal === 'gone') return context.scope.reason ?? deadlineExceeded(this.door.name, false)
    return this.door.refuse(call, refusal, context, context.clock.now())
  }
}

/** Goes with a call from the moment when it has begun until its work is over. */
class BegunGate implements Gate<unknown, ShedCall> {
  readonly kind = 'shed' as const
  readonly name: string
  readonly until = 'work' as const
  /** The call that is being made at this very moment. */
  private call: ShedCall | undefined

  constructor(name: string) {
    this.name = name
    this.call = undefined
  }

  run<Q, S>(call: ShedCall, inside: Handler<Q, S>, request: Q, context: Context): Promise<S> {
    this.call = call
    const answer = inside(request, context)
    if (this.call !== undefined) {
      // The call had ended by then, and so was never let in.
      this.call = undefined
      call.ignore(context.clock.now())
    }
    return answer
  }

  admit(): ShedCall {
    const call = this.call!
    this.call = undefined
    return call
  }

  settle(call: ShedCall, outcome: Outcome, now: number): void {
    call.shedder?.settle(call, resultOf(outcome), now)
  }
}
