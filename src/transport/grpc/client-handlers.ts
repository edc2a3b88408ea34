/** The innermost handlers of a client, one for each kind of method: each makes one grpc-js call per attempt. */
import type { Duplex, Writable } from 'node:stream'
import { type ServiceError, type StatusObject, status } from '@grpc/grpc-js'
import { advise } from '../../core/advice.ts'
import type { Context } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import { Attempt } from './attempt.ts'
import { callMetadata } from './call-metadata.ts'
import type { ClientMethod } from './client-methods.ts'
import { methodOf, outgoingCall, STRANGE_CONTEXT } from './method.ts'
import { Outgoing } from './outgoing.ts'
import { isMessages, Pump } from './pump.ts'
import { DELIVERED } from './response-stream.ts'

/** What every call of grpc-js can do. */
type GrpcCall = { cancel(): void; on(event: string, listener: (value: any) => void): unknown }

export function unary({ invoke, path }: ClientMethod): Handler<any, unknown> {
  return (request, context) =>
    refusal(context) ??
    new Promise((resolve, reject) => {
      const outgoing = outgoingOf(context, path)
      const attempt = new Attempt(
        context.scope,
        callMetadata(context, outgoing.heldMetadata),
        resolve,
        reject,
      )
      const call: GrpcCall = invoke(request, attempt.metadata, outgoing.grpcOptions, answerTo(attempt))
      attempt.started(call)
      follow(call, outgoing)
    })
}

export function clientStream({ invoke, path }: ClientMethod): Handler<any, unknown> {
  return (requests, context) =>
    refusal(context) ??
    new Promise((resolve, reject) => {
      const outgoing = outgoingOf(context, path)
      if (outgoing.final !== undefined) return reject(outgoing.final.error)
      const attempt = new Attempt(
        context.scope,
        callMetadata(context, outgoing.heldMetadata),
        resolve,
        reject,
      )
      const call: Writable & GrpcCall = invoke(attempt.metadata, outgoing.grpcOptions, answerTo(attempt))
      call.on('error', error => attempt.abort(error))
      attempt.started(call)
      follow(call, outgoing)
      send(requests, call, attempt, outgoing)
    })
}

/** For both kinds that answer with a stream. */
export function responseStream({
  invoke,
  path,
  requestStream,
}: ClientMethod): Handler<any, readonly never[]> {
  return (request, context) =>
    refusal(context) ??
    new Promise((resolve, reject) => {
      const outgoing = outgoingOf(context, path)
      const { responses, grpcOptions } = outgoing
      if (outgoing.final !== undefined) return reject(outgoing.final.error)
      if (responses === undefined) throw new TypeError(STRANGE_CONTEXT)
      const attempt = new Attempt(
        context.scope,
        callMetadata(context, outgoing.heldMetadata),
        resolve,
        reject,
      )
      const call: Duplex & GrpcCall = requestStream
        ? invoke(attempt.metadata, grpcOptions)
        : invoke(request, attempt.metadata, grpcOptions)
      responses.attach(call)
      attempt.onFailure = (error, early) => {
        if (responses.committed) giveUp(outgoing, error)
        responses.attemptFailed(error, early)
      }
      call.on('error', error => attempt.fail(error as ServiceError))
      call.on('status', ({ code }: StatusObject) => {
        if (code === status.OK) attempt.succeed(DELIVERED)
      })
      attempt.started(call)
      follow(call, outgoing)
      if (requestStream) send(request, call, attempt, outgoing)
    })
}

const NO_MESSAGES = 'Expected the requests of a stream to be an iterable or an async iterable'

/** The answer to a call whose time is up before it was made. */
export function refusal({ scope }: Context): Promise<never> | undefined {
  if (scope.ending !== undefined) return Promise.reject(scope.reason)
  if (scope.deadline === Infinity || scope.clock.now() < scope.deadline) return undefined
  return Promise.reject(deadlineExceeded('grpc', false))
}

function outgoingOf(context: Context, path: string): Outgoing {
  const outgoing = context.get(outgoingCall)
  return outgoing instanceof Outgoing ? outgoing : new Outgoing(methodOf(path), {}, undefined)
}

function answerTo(attempt: Attempt<unknown>): (error: ServiceError | null, response?: unknown) => void {
  return (error, response) => {
    if (error === null) attempt.succeed(response)
    else attempt.fail(error)
  }
}

function follow(call: GrpcCall, { options: { onHeaders, onTrailers } }: Outgoing): void {
  if (onHeaders !== undefined) call.on('metadata', onHeaders)
  if (onTrailers !== undefined) call.on('status', ({ metadata }: StatusObject) => onTrailers(metadata))
}

/** Sends the requests of the call, for as long as the attempt lasts. */
function send(requests: unknown, call: Writable, attempt: Attempt<any>, outgoing: Outgoing): void {
  let pump: Pump<unknown>
  try {
    if (!isMessages(requests)) throw new TypeError(NO_MESSAGES)
    pump = new Pump(requests, call)
  } catch (error) {
    attempt.abort(error)
    return
  }
  attempt.pump = pump
  if (pump.oneShot) {
    const { onFailure } = attempt
    attempt.onFailure = (error, early) => {
      giveUp(outgoing, error)
      onFailure?.(error, early)
    }
  }
  pump.run().then(
    () => call.end(),
    error => attempt.abort(error),
  )
}

/** Whatever stands around the call may not begin it again: messages have been handed out, or are used up. */
function giveUp(outgoing: Outgoing, error: unknown): void {
  advise(error, { retry: 'never' })
  outgoing.final = { error }
}
