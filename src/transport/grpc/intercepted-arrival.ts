import { type ServerInterceptingCallInterface, type StatusObject, status } from '@grpc/grpc-js'
import { withContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import { type ContextKey, createContextKey } from '../../core/context-key.ts'
import type { Handler } from '../../core/handler.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import { warn } from '../../core/warn.ts'
import type { Arrival } from './arrival.ts'
import { Incoming, reached } from './incoming.ts'
import type { Method } from './method.ts'

/** Hands the call on to the handler, in the context that has come through the chain. */
type HandOver = (context: Context) => Promise<void>

const handOverKey: ContextKey<HandOver | undefined> = createContextKey<HandOver | undefined>(
  'hand-over of an intercepted call',
  undefined,
)

/** The innermost handler of an interceptor's chain. */
export const handOver: Handler<any, unknown> = async (_request, context) => {
  reached(context)
  return context.get(handOverKey)!(context)
}

/** A call of a server on its way through an interceptor. */
export class InterceptedArrival {
  private readonly incoming: Incoming
  private readonly proceed: () => void
  private context: Context
  private handler: { resolve(): void; reject(error: unknown): void } | undefined

  constructor(
    method: Method,
    call: ServerInterceptingCallInterface,
    arrival: Arrival,
    arrived: Context,
    proceed: () => void,
  ) {
    const context = arrived.with(handOverKey, context => this.enter(context))
    this.incoming = new Incoming(method, arrival, context, call, failure => call.sendStatus(failure!), ignore)
    this.proceed = proceed
    this.context = this.incoming.context
    this.handler = undefined
  }

  get over(): boolean {
    return this.incoming.over
  }

  begin(run: Handler<any, unknown>): void {
    const { context } = this
    const { scope } = context
    if (scope.clock.now() >= scope.deadline) {
      this.incoming.fail(deadlineExceeded('grpc', false))
      return
    }
    withContext(context, () => run(undefined, context)).then(
      () => {
        if (!this.incoming.over) this.incoming.fail(new TypeError(ANSWERED))
      },
      error => this.incoming.fail(error),
    )
  }

  within(work: () => void): void {
    withContext(this.context, work)
  }

  /** The handler answers. */
  answer(given: StatusObject, proceed: (answer: StatusObject) => void): void {
    if (this.incoming.leave(given)) proceed(given)
    const { handler } = this
    if (given.code === status.OK) handler?.resolve()
    else
      handler?.reject(Object.assign(new Error(given.details), { code: given.code, details: given.details }))
  }

  /** `streams`: the handler may never say that it has come to its end. */
  hungUp(streams: boolean): void {
    this.incoming.hungUp()
    if (streams) this.handler?.resolve()
  }

  private enter(context: Context): Promise<void> {
    if (this.handler !== undefined) throw new TypeError(TWICE)
    return new Promise((resolve, reject) => {
      this.handler = { resolve, reject }
      this.context = context
      withContext(context, this.proceed)
    })
  }
}

const ANSWERED = 'A middleware in a server interceptor answered by itself'
const TWICE = 'A middleware in a server interceptor called next() twice'

/** The only errors that say nothing to a caller are mistakes in the chain. */
function ignore(error: unknown): void {
  warn('SPILLWAY_INTERCEPTOR', String(error))
}
