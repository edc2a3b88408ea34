import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/**
 * Keeps the requests and the responses of express in one shape each.
 *
 * Express changes the prototype of both and adds its fields afterwards. V8 does not remember what is added to an
 * object whose prototype was changed when it had fields already, so each request and each response ends up with
 * hidden classes of its own, and whoever reads any field of any of them, express, Node or a handler, has it looked up
 * anew. Where the fields are there before, all requests share their hidden classes: that is worth more than
 * protecting them costs, and one such request in a thousand has each refusal of the others cost up to a quarter more.
 */
class ExpressShape {
  /** Whether the server hands its requests to express, and they may be given its fields. */
  private applies: boolean | undefined = undefined
  /** The last of the fields has a symbol of its own in later versions. */
  private routeKey: symbol | undefined = undefined

  /** Gives what express has not seen yet the fields that it is going to set. */
  prepare(request: IncomingMessage, response: ServerResponse): void {
    if (this.applies !== true) return
    try {
      addFields(request as unknown as Shaped, response as Shaped & ServerResponse, this.routeKey)
    } catch {
      // A class of its own in place of Node's, which has one of them as something that cannot be set.
      this.applies = false
    }
  }

  /** Looks at what somebody has seen: whether it was express. */
  learn(request: IncomingMessage & { readonly res?: unknown }, response: ServerResponse): void {
    if (this.applies !== undefined || request.res !== response) return
    this.routeKey = Object.getOwnPropertySymbols(request).find(
      ({ description }) => description === matchedRoute,
    )
    // An application may keep something under one of the names for all of its requests.
    this.applies =
      !fields.some(field => field in Object.getPrototypeOf(request)) &&
      !('locals' in Object.getPrototypeOf(response))
  }
}

type Shaped = Record<PropertyKey, unknown>

const fields = ['res', 'next', 'baseUrl', 'originalUrl', '_parsedUrl', 'params', 'route'] as const
const matchedRoute = 'router.tracing.matchedRoute'

const shape: unique symbol = Symbol('spillway.express')

/** What is known of a server, whoever has found it out. */
export function expressShapeOf(server: Server & { [shape]?: ExpressShape }): ExpressShape {
  server[shape] ??= new ExpressShape()
  return server[shape]
}

/** With the values that they have. Written out, for fields set in a loop do not make one hidden class as quickly. */
function addFields(request: Shaped, response: Shaped & ServerResponse, routeKey: symbol | undefined): void {
  const { res, next, baseUrl, originalUrl, _parsedUrl, params, route } = request
  request.res = res
  request.next = next
  request.baseUrl = baseUrl
  request.originalUrl = originalUrl
  request._parsedUrl = _parsedUrl
  request.params = params
  if (routeKey !== undefined) {
    const matched = request[routeKey]
    request[routeKey] = matched
  }
  request.route = route
  const { locals, statusMessage, statusCode } = response
  response.locals = locals
  response.statusMessage = statusMessage
  response.statusCode = statusCode
}
