import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, rootContext } from './context.ts'
import type { Handler } from './handler.ts'

const storage = new AsyncLocalStorage<Context>()

/** Until somebody sets one, no call pays for an ambient context. */
let inUse = false

/**
 * The context of the call in progress, for code that was not handed one. Transports set it for each request, and
 * `withContext` sets it anywhere else; every call made within replaces it with its own, narrower one. `undefined`
 * where nobody has set one: there, hand the context on.
 */
export function currentContext(): Context | undefined {
  return storage.getStore()
}

/** Runs `work` so that `currentContext()` is `context` in it and in everything it starts. */
export function withContext<T>(context: Context, work: () => T): T {
  inUse = true
  return storage.run(context, work)
}

/** @internal The context of a call that was made without one. */
export function defaultContext(): Context {
  return storage.getStore() ?? rootContext
}

/**
 * @internal Calls `next` with `context`. Where an ambient context is in use it becomes this one, so that a narrower
 * deadline also reaches code that has no context argument.
 */
export function callWithin<Req, Res>(context: Context, next: Handler<Req, Res>, request: Req): Promise<Res> {
  if (!inUse) return next(request, context)
  const ambient = storage.getStore()
  return ambient === undefined || ambient === context
    ? next(request, context)
    : storage.run(context, next, request, context)
}
