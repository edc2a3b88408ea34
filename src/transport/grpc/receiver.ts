/** The functions that grpc-js calls for each call that comes in. */
import type { Readable, Writable } from 'node:stream'
import type { Metadata, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { withContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import type { Around } from './around.ts'
import { type Arrival, type ArrivalOptions, contextOf } from './arrival.ts'
import { Incoming, type OnError, reached } from './incoming.ts'
import { MessageReader } from './message-reader.ts'
import { type Method, methodOf } from './method.ts'
import { isMessages, Pump } from './pump.ts'
import { DELIVERED } from './response-stream.ts'

export type UserHandler = (request: any, context: Context) => unknown

export interface ReceiverOptions {
  readonly use: Around
  readonly ambient: boolean
  readonly onError: OnError
  readonly inbound: ArrivalOptions
}

/** A call of any kind, as far as all of them are alike. */
type ServerCall = Omit<ServerUnaryCall<any, any>, 'request'> & { readonly request?: unknown }
type Stream = Readable & Writable & { end(trailers?: Metadata): void }

/**
 * One function for all four kinds of method. Which kind it serves shows in what grpc-js calls it with: a callback
 * if there is one answer, a request if there is one request.
 */
export function receiver(
  handler: UserHandler,
  { use, ambient, onError, inbound }: ReceiverOptions,
): (call: ServerCall, callback?: sendUnaryData<unknown>) => void {
  let run: Handler<any, unknown> | undefined
  let method: Method | undefined

  return (call, callback) => {
    const path = call.getPath()
    if (method?.path !== path) method = methodOf(path)
    run ??= use(callback === undefined ? many(handler) : one(handler))
    const wrapped = run
    const stream = call as unknown as Stream
    const arrival: Arrival = { metadata: call.metadata, peer: call.getPeer(), deadline: call.getDeadline() }
    const incoming = new Incoming(
      method,
      arrival,
      contextOf(arrival, inbound),
      call,
      (failure, response, trailers) => {
        if (callback !== undefined) callback(failure ?? null, response, trailers)
        else if (failure === undefined) stream.end(trailers)
        else stream.emit('error', failure)
      },
      onError,
    )
    const { context } = incoming
    const { scope } = context
    incoming.sink = stream
    call.on('cancelled', () => incoming.hungUp())
    if (call.cancelled) return incoming.hungUp()
    if (scope.clock.now() >= scope.deadline) return incoming.fail(deadlineExceeded('grpc', false))
    const request = 'request' in call ? call.request : requestsOf(stream, incoming)
    const answer = ambient ? withContext(context, () => wrapped(request, context)) : wrapped(request, context)
    answer.then(
      response => {
        if (callback !== undefined || response === DELIVERED) incoming.succeed(response)
        else answerInstead(incoming, response)
      },
      error => incoming.fail(error),
    )
  }
}

/** For methods with one answer. */
function one(handler: UserHandler): Handler<any, unknown> {
  return (request, context) => {
    try {
      reached(context)
      return Promise.resolve(handler(request, context))
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

/** For methods with a stream of answers. */
function many(handler: UserHandler): Handler<any, unknown> {
  return async (request, context) => {
    const incoming = reached(context)
    return send(incoming, await handler(request, context))
  }
}

function requestsOf(stream: Readable, incoming: Incoming): MessageReader<unknown> {
  const requests = new MessageReader<unknown>()
  requests.attach(stream)
  // Node's HTTP/2 closes a stream properly before it resets it, so a caller that hangs up looks at first like one
  // that has sent everything. The reset comes right behind; two turns of the event loop let it overtake the end.
  stream.on('end', () => setImmediate(() => setImmediate(() => requests.end(false))))
  incoming.onEarlyEnd = reason => requests.fail(reason, true)
  return requests
}

/** Something around the handler of a stream has answered in its place. */
function answerInstead(incoming: Incoming, messages: unknown): void {
  send(incoming, messages).then(
    () => incoming.succeed(undefined),
    error => incoming.fail(error),
  )
}

/** Sends a stream of answers. What fails after the first of them fails the call, whatever stands around it. */
async function send(incoming: Incoming, messages: unknown): Promise<readonly never[]> {
  if (!isMessages(messages)) throw new TypeError(NO_MESSAGES)
  if (incoming.pump !== undefined) throw new TypeError(TWICE)
  const pump = new Pump(messages, incoming.sink!)
  incoming.sendBy(pump)
  try {
    await pump.run()
  } catch (error) {
    if (pump.begun) incoming.fail(error)
    else incoming.pump = undefined
    throw error
  }
  return DELIVERED
}

const NO_MESSAGES = 'Expected the answers of a stream to be an iterable or an async iterable'
const TWICE = 'The handler of a stream was called again after it had begun to answer'
