import type { ServerDuplexStream, ServerReadableStream } from '@grpc/grpc-js'
import type { Context } from '../../core/context.ts'
import type { Messages } from './pump.ts'

type Awaitable<T> = T | PromiseLike<T>

/** One request, one answer. */
export type UnaryHandler<Req, Res> = (request: Req, context: Context) => Awaitable<Res>
/** One request, many answers: an async generator, or anything else that can be iterated. */
export type ServerStreamHandler<Req, Res> = (request: Req, context: Context) => Awaitable<Messages<Res>>
/** Many requests, one answer. */
export type ClientStreamHandler<Req, Res> = (
  requests: AsyncIterableIterator<Req>,
  context: Context,
) => Awaitable<Res>
/** Many requests, many answers. */
export type BidiHandler<Req, Res> = (
  requests: AsyncIterableIterator<Req>,
  context: Context,
) => Awaitable<Messages<Res>>

/** What is written in place of one of grpc-js's handlers. */
export type HandlerOf<F> = F extends (...args: infer Args) => unknown
  ? Args extends [infer Call, infer Callback]
    ? Call extends { request: infer Req }
      ? UnaryHandler<Req, AnswerTo<Callback>>
      : Call extends ServerReadableStream<infer Req, any>
        ? ClientStreamHandler<Req, AnswerTo<Callback>>
        : never
    : Args extends [infer Call]
      ? Call extends ServerDuplexStream<infer Req, infer Res>
        ? BidiHandler<Req, Res>
        : Call extends { request: infer Req; _write(message: infer Res, ...rest: never): unknown }
          ? ServerStreamHandler<Req, Res>
          : never
      : never
  : never

type AnswerTo<Callback> = Callback extends (...args: infer Given) => unknown
  ? Exclude<Required<Given>[1], null | undefined>
  : never

/** The names of a service's methods, without the index signature that generated types bring along. */
type NamesOf<Service> = keyof {
  [K in keyof Service as string extends K ? never : number extends K ? never : K]: 0
}

/** The handlers of a service whose generated type is `Service`; of any shape where that has no methods of its own. */
export type Implementation<Service> = [NamesOf<Service>] extends [never]
  ? { readonly [name: string]: (request: any, context: Context) => any }
  : { readonly [K in NamesOf<Service> & keyof Service]: HandlerOf<Service[K]> }
