import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, rootContext } from './context.ts'
import type { Handler } from './handler.ts'

const storage = new AsyncLocalStorage<Context>()

/** The context of the call in progress, for code that was not handed one; `undefined` outside every call. */
export function currentContext(): Context | undefined {
  return storage.getStore()
}

/** Runs `work` so that `currentContext()` is `context` in it and in everything it starts. */
export function withContext<T>(context: Context, work: () => T): T {
  return storage.run(context, work)
}

/** @internal The context of a call that was made without one. */
export function defaultContext(): Context {
  return storage.getStore() ?? rootContext
}

/**
 * Calls `next` with a context derived from the one in hand. Where an ambient context is in use it is replaced
 * too, so that a narrower deadline also reaches code that has no context argument.
 */
export function callWithin<Req, Res>(context: Context, next: Handler<Req, Res>, request: Req): Promise<Res> {
  return storage.getStore() === undefined
    ? next(request, context)
    : storage.run(context, next, request, context)
}
