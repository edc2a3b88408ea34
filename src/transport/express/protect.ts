import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { Request, RequestHandler } from 'express'
import type { Middleware } from '../../core/handler.ts'
import { guardWith, type ProtectOptions } from '../http/protect.ts'
import { keepShapes, servedByExpress } from './shape.ts'

/**
 * Puts a chain in front of everything that is mounted after it: `app.use(protect(chain(...)))`, or in front of one
 * route. A refusal is answered here (RFC 9457), before a body is read. The deadline and the disconnecting client
 * cancel the request's context, which handlers find with `contextOf(request)` or `currentContext()`. An answer with
 * a status from 500 up is a failure for the gates of the chain, any other answer is a success.
 */
export function protect(
  middleware: Middleware<Request, void>,
  options: ProtectOptions<Request> = {},
): RequestHandler {
  const guard = guardWith('protect', middleware, options, addressOf)
  keepShapes()
  return (request, response, next) => {
    servedByExpress(request, response)
    guard(request, response, { begin: next, fail: next })
  }
}

/** `request.ip`, which takes microseconds to find out that there is no proxy. */
function addressOf(request: Request, socket: Socket, headers: IncomingHttpHeaders): string | undefined {
  return headers['x-forwarded-for'] === undefined ? socket.remoteAddress : request.ip
}
