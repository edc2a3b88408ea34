import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { defaultContext } from '../../core/ambient.ts'
import { taskRunner } from '../../core/chain.ts'
import type { Context } from '../../core/context.ts'
import type { Middleware } from '../../core/handler.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { checkInbound, type InboundOptions, openInbound } from '../wire/inbound.ts'
import { arrivedOn, watchServers } from './arrival.ts'
import { lineOf, requestsOn } from './connection.ts'
import { Exchange, exchangeOf, type Framework, proceed } from './exchange.ts'

export interface ProtectOptions<Req = IncomingMessage> extends InboundOptions {
  /**
   * Who is calling, for limits by caller. Behind a proxy the address of the connection is the proxy's.
   * @default the address at the other end of the connection; in express `request.ip`
   */
  readonly caller?: (request: Req) => string | undefined
}

/** Sends one request through a chain, and on to `framework` if the chain lets it. */
export type Guard<Req> = (request: Req, response: ServerResponse, framework: Framework) => void

/** What protecting express and plain servers has in common. */
export function guardWith<Req extends IncomingMessage>(
  owner: string,
  middleware: Middleware<Req, void>,
  options: ProtectOptions<Req>,
  addressOf: (request: Req, socket: Socket, headers: IncomingHttpHeaders) => string | undefined,
): Guard<Req> {
  functionOption('middleware', middleware)
  knownOptions(owner, options, ['timeoutMs', 'trustPeers', 'caller'])
  checkInbound(options)
  const callerOf = options.caller === undefined ? addressOf : functionOption('caller', options.caller)
  const call = middleware<Req, void>(proceed)
  const runner = taskRunner(middleware)
  watchServers()

  return (request, response, framework) => {
    // Each is read once: express changes the prototype of its requests, after which reading any property is slow.
    const line = arrivedOn(request, response)
    const socket = line ?? request.socket
    const { headers } = request
    // The client went away while the request still waited to get here: nobody would hear of its end any more.
    if (socket.destroyed && !response.writableFinished) return
    const requests = requestsOn<Exchange>(line ?? lineOf(request))
    const outer = requests.get(request)
    let caller: string | undefined
    try {
      const own = outer === undefined || options.caller !== undefined
      caller = own ? callerOf(request, socket, headers) : outer.context.caller
    } catch (error) {
      framework.fail(error)
      return
    }
    const context = openInbound(name => headers[name] as string | undefined, options, caller, outer?.context)
    const exchange = new Exchange(request, response, framework, context, requests, outer)
    if (line === undefined && outer === undefined) exchange.listen()
    if (runner === undefined) exchange.pass(call)
    else exchange.perform(runner)
  }
}

/**
 * The context of the call that `request` is: its deadline, its signal, who calls. Behind a chain that narrows the
 * deadline it is the narrowed one. Once the request has been answered it is the current context, if there is one,
 * and without one, or for a request that nothing protects, a context without a deadline.
 */
export function contextOf(request: IncomingMessage): Context {
  return exchangeOf(request)?.context ?? defaultContext()
}
