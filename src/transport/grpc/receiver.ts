/** The functions that grpc-js calls for each call that comes in. */
import type { Readable } from 'node:stream'
import type { sendUnaryData } from '@grpc/grpc-js'
import { withContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import type { Handler, Middleware } from '../../core/handler.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import { type ArrivalOptions, openArrival } from './arrival.ts'
import { Incoming, type ServerCall } from './incoming.ts'
import { MessageReader } from './message-reader.ts'
import { incomingCall, type Method, methodOf } from './method.ts'
import { DELIVERED } from './response-stream.ts'

export type UserHandler = (request: any, context: Context) => unknown

export interface ReceiverOptions {
  readonly use: Middleware<any, any>
  readonly ambient: boolean
  readonly onError: (error: unknown, context: Context) => void
  readonly arrival: ArrivalOptions
}

type SurfaceCall = ServerCall & { readonly request?: unknown }

/**
 * One function for all four kinds of method. Which kind it serves shows in what grpc-js calls it with: a callback
 * if there is one answer, a request if there is one request.
 */
export function receiver(
  handler: UserHandler,
  { use, ambient, onError, arrival }: ReceiverOptions,
): (call: SurfaceCall, callback?: sendUnaryData<unknown>) => void {
  let run: Handler<any, unknown> | undefined
  let method: Method | undefined

  return (call, callback) => {
    const path = call.getPath()
    if (method === undefined || method.path !== path) method = methodOf(path)
    run ??= use(callback === undefined ? many(handler) : one(handler))
    const wrapped = run
    const incoming = new Incoming(method, call, callback, openArrival(call, call.metadata, arrival), onError)
    const { context } = incoming
    const { scope } = context
    if (scope.ending !== undefined) return
    if (scope.clock.now() >= scope.deadline) return incoming.fail(deadlineExceeded('grpc', false))
    const request = 'request' in call ? call.request : requestsOf(call as unknown as Readable, incoming)
    const answer = ambient ? withContext(context, () => wrapped(request, context)) : wrapped(request, context)
    answer.then(
      response => {
        if (callback !== undefined || response === DELIVERED) incoming.succeed(response)
        else incoming.answerInstead(response)
      },
      error => incoming.fail(error),
    )
  }
}

function one(handler: UserHandler): Handler<any, unknown> {
  return (request, context) => {
    reached(context)
    try {
      return Promise.resolve(handler(request, context))
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

function many(handler: UserHandler): Handler<any, unknown> {
  return async (request, context) => reached(context).send(await handler(request, context))
}

function reached(context: Context): Incoming {
  const incoming = context.get(incomingCall)
  if (!(incoming instanceof Incoming)) throw new TypeError(STRANGE_CONTEXT)
  incoming.begun = true
  return incoming
}

const STRANGE_CONTEXT =
  'A middleware called next() with a context that was not derived from the one it was given, so the call is lost'

function requestsOf(call: Readable, incoming: Incoming): MessageReader<unknown> {
  const requests = new MessageReader<unknown>()
  requests.attach(call)
  call.on('end', () => requests.end(false))
  incoming.onEarlyEnd = reason => requests.fail(reason, true)
  return requests
}
