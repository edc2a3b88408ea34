import type { Context } from './context.ts'

/** Answers one request. Whatever carries the request (express, gRPC, fetch, nothing at all), this is its shape. */
export type Handler<Req = unknown, Res = unknown> = (request: Req, context: Context) => Promise<Res>

/**
 * A handler that has been wrapped. The context may be left out: it is then the current one (see `currentContext`),
 * or where there is none, `rootContext`, which has no deadline. The request may be left out where nothing reads it.
 */
export type Call<Req = unknown, Res = unknown> = (
  ...args: unknown extends Req ? [request?: Req, context?: Context] : [request: Req, context?: Context]
) => Promise<Res>

declare const needs: unique symbol

/** What a middleware needs to know of the request and the answer. Types alone: nothing is there at run time. */
interface Needs<Req, Res> {
  readonly [needs]?: (request: Req, response: Res) => void
}

/**
 * Puts something in the way of a handler. `Req` and `Res` are what the middleware needs to know of the request
 * and the answer; the handler's own, richer types come out unchanged.
 */
export interface Middleware<Req = unknown, Res = unknown> extends Needs<Req, Res> {
  <Q extends Req, S extends Res>(next: Handler<Q, S>): Handler<Q, S>
}

/** A middleware whose wrapped handlers may be called without a context. Everything in the kit returns this. */
export interface Protection<Req = unknown, Res = unknown> extends Needs<Req, Res> {
  <Q extends Req, S extends Res>(next: Handler<Q, S>): Call<Q, S>
}
