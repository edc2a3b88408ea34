import type { Metadata } from '@grpc/grpc-js'
import type { ContextKey } from '../../core/context-key.ts'
import { incomingGrpc, outgoingGrpc } from '../../internal/inbound-call.ts'

/** One method of a service. */
export interface Method {
  /** As it stands on the wire: `/shop.Catalog/GetItem`. */
  readonly path: string
  /** The part before the last slash: `shop.Catalog`. */
  readonly service: string
  /** The part after the last slash: `GetItem`. */
  readonly name: string
}

/** A call on its way out, for middleware of a client. */
export interface OutgoingCall {
  readonly method: Method
  /** What will be sent with every attempt of the call. Add to it: a token, a trace. */
  readonly metadata: Metadata
}

/** A call on its way in, for middleware and handlers of a server. */
export interface IncomingCall {
  readonly method: Method
  /** What the caller sent with it. */
  readonly metadata: Metadata
  /** The address of the caller and its port: of a proxy, if there is one between. */
  readonly peer: string
  /** Sent when the call ends, however it ends. */
  readonly trailers: Metadata
  /** Sends metadata ahead of the answer; once, and before the first message. */
  sendMetadata(metadata: Metadata): void
}

/** The innermost gRPC call of a client that a context belongs to: `context.get(outgoingCall)?.method.path`. */
export const outgoingCall: ContextKey<OutgoingCall | undefined> = outgoingGrpc as ContextKey<
  OutgoingCall | undefined
>

/** The gRPC call of a server that a context belongs to: `context.get(incomingCall)?.metadata`. */
export const incomingCall: ContextKey<IncomingCall | undefined> = incomingGrpc as ContextKey<
  IncomingCall | undefined
>

/** What is wrong when the innermost handler does not find the call that it belongs to. */
export const STRANGE_CONTEXT =
  'A middleware called next() with a context that was not derived from the one it was given, so the call is lost'

export function methodOf(path: string): Method {
  const slash = path.lastIndexOf('/')
  return {
    path,
    service: path.slice(path.startsWith('/') ? 1 : 0, Math.max(0, slash)),
    name: path.slice(slash + 1),
  }
}
