import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { arrivedAt } from '../http/arrival.ts'
import { expressShapeOf } from '../http/express-shape.ts'

interface Message {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly server: Server
}

let watching = false

/** Has Node tell of the requests of all servers in the process, before express sees them. */
export function keepShapes(): void {
  if (watching) return
  watching = true
  subscribe('http.server.request.start', message => {
    const { request, response, server } = message as Message
    expressShapeOf(server).prepare(request, response)
  })
}

/** Notes that the server of `request`, which has just arrived, hands its requests to express. */
export function servedByExpress(request: IncomingMessage, response: ServerResponse): void {
  const server = arrivedAt(request)
  if (server !== undefined) expressShapeOf(server).learn(request, response)
}
