import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { arrivedAt } from '../http/connection.ts'

/**
 * Keeps the requests and responses of express in one shape each, which is worth more than protecting them costs.
 *
 * Express changes the prototype of both and adds its fields afterwards. V8 keeps no table of the fields that are
 * added to an object whose prototype was changed when it had fields already, so each request and each response ends
 * up with hidden classes of its own, and every read of any property of it, by express, by Node or by a handler, is
 * looked up anew. Where the fields are there before, all requests share their hidden classes.
 *
 * The fields are those of express itself and of its router, and nobody sees them before express sets them.
 */
type Shaped = Record<PropertyKey, unknown>

interface Message {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly server: Server & { [serves]?: boolean }
}

/** On a server whose requests express serves. */
const serves: unique symbol = Symbol('spillway.express')

/** What the router calls the field for the route that matched; only it has the symbol. */
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
    shape(request as unknown as Shaped, response)
  })
}

/** Notes that the server of `request`, which has just arrived, hands its requests to express. */
export function servedByExpress(request: IncomingMessage): void {
  const server = arrivedAt(request) as Message['server'] | undefined
  if (server === undefined || server[serves] === true) return
  server[serves] = true
  routeKey ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === matchedRoute)
}

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
