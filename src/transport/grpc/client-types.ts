import type { CallCredentials, Client, Metadata } from '@grpc/grpc-js'
import type { Context } from '../../core/context.ts'
import type { Messages } from './pump.ts'

/** What one call may say for itself. A `Context` may stand in its place. */
export interface CallOptions {
  /** The call that this one is part of. @default the call in progress, see `currentContext` */
  readonly context?: Context | undefined
  /** Cancels the call when it aborts. @default none */
  readonly signal?: AbortSignal | undefined
  /** The time for this call, everything in the client's chain included. @default what the context leaves */
  readonly timeoutMs?: number | undefined
  /** Sent with the call. @default none */
  readonly metadata?: Metadata | undefined
  /** @default those of the channel */
  readonly credentials?: CallCredentials | undefined
  /** Told what the server sends ahead of its answer. */
  readonly onHeaders?: ((headers: Metadata) => void) | undefined
  /** Told what the server sends after its answer, or with its refusal. */
  readonly onTrailers?: ((trailers: Metadata) => void) | undefined
}

type Options = CallOptions | Context

/** One request, one answer. */
export type UnaryMethod<Req, Res> = (request: Req, options?: Options) => Promise<Res>
/** One request, many answers. The call begins with the first `next()`. */
export type ServerStreamMethod<Req, Res> = (request: Req, options?: Options) => AsyncIterableIterator<Res>
/** Many requests, one answer. */
export type ClientStreamMethod<Req, Res> = (requests: Messages<Req>, options?: Options) => Promise<Res>
/** Many requests, many answers. The call begins with the first `next()`. */
export type BidiMethod<Req, Res> = (requests: Messages<Req>, options?: Options) => AsyncIterableIterator<Res>

/** A method of a generated client as a promise or an iterable; `never` for what is no method of the service. */
export type MethodOf<F> = F extends (...args: infer Args) => infer Call
  ? Call extends { cancel(): void; getPeer(): string }
    ? Call extends { serialize(value: infer Req): Uint8Array; deserialize(bytes: never): infer Res }
      ? BidiMethod<Req, Res>
      : Call extends { deserialize(bytes: never): infer Res }
        ? ServerStreamMethod<Args[0], Res>
        : Call extends { serialize(value: infer Req): Uint8Array }
          ? ClientStreamMethod<Req, AnswerIn<Args>>
          : UnaryMethod<Args[0], AnswerIn<Args>>
    : never
  : never

/** What the callback, the last argument, is called with. */
type AnswerIn<Args extends readonly unknown[]> = Args extends readonly [...unknown[], infer Callback]
  ? Callback extends (...args: infer Given) => unknown
    ? Exclude<Required<Given>[1], undefined>
    : never
  : never

/** The names of a generated client's methods. Of a client without types, which has an index signature: any name. */
export type MethodNames<C> = string extends keyof C
  ? string
  : { [K in Exclude<keyof C, keyof Client> & string]: MethodOf<C[K]> extends never ? never : K }[Exclude<
      keyof C,
      keyof Client
    > &
      string]

/**
 * A generated client with promises and async iterables in place of callbacks and streams. Of a client without types
 * nothing is known.
 */
export type PromiseClient<C> = string extends keyof C
  ? any
  : { readonly [K in MethodNames<C> & keyof C]: MethodOf<C[K]> }
