import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Middleware } from '../../core/handler.ts'
import type { ProtectOptions } from './protect.ts'
import { protectHandler } from './protect-handler.ts'

/**
 * Puts a chain in front of every request listener that a server has or will have, whichever framework brings it:
 * `protectServer(createServer(app), chain(...)).listen(8080)`. Returns the server.
 */
export function protectServer<S extends Server>(
  server: S,
  middleware: Middleware<IncomingMessage, void>,
  options: ProtectOptions = {},
): S {
  const emit: (event: string, ...args: unknown[]) => boolean = server.emit.bind(server)
  const handle = protectHandler(
    middleware,
    (request, response) => emit('request', request, response),
    options,
  )
  const guarded = (event: string, ...args: unknown[]): boolean => {
    if (event !== 'request') return emit(event, ...args)
    handle(...(args as [IncomingMessage, ServerResponse & { req: IncomingMessage }]))
    return true
  }
  // Not by replacing the listeners: one that is added later would stand in front of the chain's back door.
  server.emit = guarded as S['emit']
  return server
}
