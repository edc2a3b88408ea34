import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Middleware } from '../../core/handler.ts'
import { functionOption } from '../../core/options.ts'
import { type Exchange, exchangeOf } from './exchange.ts'
import { brokenProblem, problemOf } from './problem.ts'
import { guardWith, type ProtectOptions } from './protect.ts'
import { sendProblem } from './send.ts'

/**
 * Puts a chain in front of a request listener: of `createServer`, or a whole application of any framework. A
 * refusal costs a fraction of what it would inside a framework, because nothing has been parsed or routed yet.
 *
 * A refusal that the listener fails with is answered as one. After any other failure the client gets a bare 500,
 * and the process an unhandled rejection, as it would without the chain.
 */
export function protectHandler(
  middleware: Middleware<IncomingMessage, void>,
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
  options: ProtectOptions = {},
): RequestListener {
  functionOption('listener', listener)
  const guard = guardWith('protectHandler', middleware, options, addressOf)
  return (request, response) => {
    guard(request, response, {
      begin() {
        const exchange = exchangeOf(request)
        try {
          const answer = listener(request, response)
          if (answer instanceof Promise) answer.catch(error => answerFailure(exchange, response, error))
        } catch (error) {
          answerFailure(exchange, response, error)
        }
      },
      fail: error => answerFailure(undefined, response, error),
    })
  }
}

/** The address at the other end of the connection. */
function addressOf(_request: IncomingMessage, socket: Socket): string | undefined {
  return socket.remoteAddress
}

/** Answers what a listener, or a middleware in front of it, failed with. */
function answerFailure(exchange: Exchange | undefined, response: ServerResponse, error: unknown): void {
  exchange?.note(error)
  const problem = problemOf(error)
  if (!response.writableEnded && !response.destroyed) {
    if (response.headersSent) response.destroy()
    else sendProblem(response, problem ?? brokenProblem())
  }
  // Work that was given up may fail of that.
  if (problem === undefined && exchange?.context.ended !== true) void Promise.reject(error)
}
