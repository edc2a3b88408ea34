import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { responseSent } from './connection.ts'

/** What Node says of a request before anybody else sees it, and once its response has been handed to the network. */
interface Arrival {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly socket: Socket
  readonly server: Server
}

let latest: Arrival | undefined
let watching = false

/** Has Node tell of requests and responses, all of those in the process. */
export function watchServers(): void {
  if (watching) return
  watching = true
  subscribe('http.server.request.start', arrival => {
    latest = arrival as Arrival
  })
  subscribe('http.server.response.finish', message => {
    const { request, socket } = message as Arrival
    if (latest?.request === request) latest = undefined
    responseSent(socket, request)
  })
}

/**
 * The connection of a request that has just arrived, with nothing asynchronous in between, at a server of Node: one
 * whose `responseSent` will be called. `undefined` for every other request.
 */
export function arrivedOn(request: IncomingMessage, response: ServerResponse): Socket | undefined {
  return latest?.request === request && latest.response === response ? latest.socket : undefined
}

/** The server of a request that has just arrived. */
export function arrivedAt(request: IncomingMessage): Server | undefined {
  return latest?.request === request ? latest.server : undefined
}
