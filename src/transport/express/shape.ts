import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { arrivedAt } from '../http/arrival.ts'

/**
 * Keeps the requests and the responses of express in one shape each, which is worth more than protecting them costs.
 *
 * Express changes the prototype of both and adds its fields afterwards. V8 does not remember what is added to an
 * object whose prototype was changed when it had fields already, so each request and each response ends up with
 * hidden classes of its own, and whoever reads any field of it, express, Node or a handler, has it looked up anew.
 * Where the fields are there before, all requests share their hidden classes.
 */
type Shaped = Record<PropertyKey, unknown>

interface Message {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly server: Server & { [serves]?: boolean }
}

/** Whether a server hands its requests to express, and they may be given its fields. */
const serves: unique symbol = Symbol('spillway.express')

/** What express and its router set on each request. The second has a symbol of its own in later versions. */
const fields = ['res', 'next', 'baseUrl', 'originalUrl', '_parsedUrl', 'params', 'route'] as const
const matchedRoute = 'router.tracing.matchedRoute'
let routeKey: symbol | undefined
let watching = false

/** Has Node tell of the requests of all servers in the process. */
export function keepShapes(): void {
  if (watching) return
  watching = true
  subscribe('http.server.request.start', message => {
    const { request, response, server } = message as Message
    if (server[serves] !== true) return
    try {
      shape(request as unknown as Shaped, response)
    } catch {
      // A class of its own in place of Node's, which has one of them as something that cannot be set.
      server[serves] = false
    }
  })
}

/** Notes that the server of `request`, which has just arrived, hands its requests to express. */
export function servedByExpress(request: IncomingMessage, response: ServerResponse): void {
  const server = arrivedAt(request) as Message['server'] | undefined
  if (server === undefined || server[serves] !== undefined) return
  routeKey ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === matchedRoute)
  // An application may keep something under one of the names for all of its requests.
  server[serves] =
    !fields.some(field => field in Object.getPrototypeOf(request)) &&
    !('locals' in Object.getPrototypeOf(response))
}

/** Written out, for fields that are set in a loop do not make one hidden class as quickly. */
function shape(request: Shaped, response: ServerResponse & { locals?: unknown }): void {
  request.res = undefined
  request.next = undefined
  request.baseUrl = undefined
  request.originalUrl = undefined
  request._parsedUrl = undefined
  request.params = undefined
  if (routeKey !== undefined) request[routeKey] = undefined
  request.route = undefined
  response.locals = undefined
  response.statusMessage = undefined as never
  // biome-ignore lint/correctness/noSelfAssign: makes it a field of its own.
  response.statusCode = response.statusCode
}
