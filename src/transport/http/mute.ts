import type { ServerResponse } from 'node:http'

/**
 * Takes a response that has been sent away from a handler that still runs. Whatever the handler does with it from
 * now on does nothing, where Node would throw `ERR_HTTP_HEADERS_SENT` (an uncaught exception in a callback).
 *
 * `headersSent` says `false` to the handler: express answers an error that comes after the headers by destroying
 * the connection, and with it the refusal that is on its way and the next request behind it. Only while `finish`
 * and `close` are emitted does it tell the truth, for those who log then.
 */
export function mute(response: ServerResponse, reason: unknown): void {
  const ignore = (...args: unknown[]): ServerResponse => {
    callBack(args, reason)
    return response
  }
  const { statusCode } = response
  let told = false
  response.prependOnceListener('finish', () => {
    told = true
  })
  response.once('close', () => {
    told = false
  })
  Object.assign(response, {
    addTrailers: ignore,
    appendHeader: ignore,
    destroy: ignore,
    end: ignore,
    flushHeaders: ignore,
    removeHeader: ignore,
    setHeader: ignore,
    setHeaders: ignore,
    writeContinue: ignore,
    writeEarlyHints: ignore,
    writeHead: ignore,
    writeProcessing: ignore,
    write: (...args: unknown[]): boolean => {
      callBack(args, reason)
      return true
    },
  })
  Object.defineProperties(response, {
    headersSent: { get: () => told, configurable: true },
    statusCode: { get: () => statusCode, set: () => {}, configurable: true },
  })
}

/** Whoever waits for what was written is told that it never will be. */
function callBack(args: readonly unknown[], reason: unknown): void {
  const last = args.at(-1)
  if (typeof last === 'function') process.nextTick(last, reason)
}
