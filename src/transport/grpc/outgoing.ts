import { type CallOptions as GrpcCallOptions, Metadata } from '@grpc/grpc-js'
import type { CallOptions } from './client-types.ts'
import type { Method, OutgoingCall } from './method.ts'
import type { ResponseStream } from './response-stream.ts'

/** What the innermost handler must know of its call, and middleware may. It travels in the context. */
export class Outgoing implements OutgoingCall {
  readonly method: Method
  readonly options: CallOptions
  readonly responses: ResponseStream<unknown> | undefined
  /** What the call has failed with, once it cannot be begun again. */
  final: { readonly error: unknown } | undefined
  private own: Metadata | undefined

  constructor(method: Method, options: CallOptions, responses: ResponseStream<unknown> | undefined) {
    this.method = method
    this.options = options
    this.responses = responses
    this.final = undefined
    this.own = undefined
  }

  /** A copy of what the caller gave, made when middleware first looks at it. */
  get metadata(): Metadata {
    this.own ??= this.options.metadata?.clone() ?? new Metadata()
    return this.own
  }

  /** The same, if there is any. */
  get heldMetadata(): Metadata | undefined {
    return this.own ?? this.options.metadata
  }

  /** What grpc-js is told besides metadata. No deadline: it would be one of the wall clock. */
  get grpcOptions(): GrpcCallOptions {
    const { credentials } = this.options
    return credentials === undefined ? none : { credentials }
  }
}

const none: GrpcCallOptions = Object.freeze({})
