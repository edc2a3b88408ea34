import type { IncomingMessage, ServerResponse } from 'node:http'
import { collectAnswerFields } from '../../core/answer-fields.ts'
import { type Context, rootContext } from '../../core/context.ts'
import type { Middleware } from '../../core/handler.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { checkInbound, type InboundOptions, openInbound } from '../wire/inbound.ts'
import { Exchange, exchangeOf, type Framework } from './exchange.ts'
import { ResponseFields } from './response-fields.ts'

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
  defaultCaller: (request: Req) => string | undefined,
): Guard<Req> {
  functionOption('middleware', middleware)
  knownOptions(owner, options, ['timeoutMs', 'trustPeers', 'caller'])
  checkInbound(options)
  const callerOf = functionOption('caller', options.caller ?? defaultCaller)
  const call = middleware((request, context) => exchangeOf(request)!.run(context))

  return (request, response, framework) => {
    const outer = exchangeOf(request)?.context
    let caller: string | undefined
    try {
      caller = outer === undefined || options.caller !== undefined ? callerOf(request) : outer.caller
    } catch (error) {
      framework.fail(error)
      return
    }
    const open = openInbound(name => request.headers[name] as string | undefined, options, caller, outer)
    const { context } =
      outer === undefined ? collectAnswerFields(open.context, new ResponseFields(response)) : open
    new Exchange(request, response, framework, open, context).pass(call)
  }
}

/**
 * The context of the call that `request` is: its deadline, its signal, who calls. Within a chain that narrows the
 * deadline it is the narrowed one. Of a request that nothing protects it is a context without a deadline.
 */
export function contextOf(request: IncomingMessage): Context {
  return exchangeOf(request)?.context ?? rootContext
}
