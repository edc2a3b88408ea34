import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Something that goes on over a connection, on behalf of one request. */
interface OnConnection {
  connectionClosed(): void
  responseSent(): void
}

const held: unique symbol = Symbol('spillway.requests')

type Line = Socket & { [held]?: Map<IncomingMessage, OnConnection> }

/**
 * The requests that are in progress on a connection, each with what is to be told when the connection closes.
 *
 * Kept here and not with the request, because this is what costs least: express changes the prototype of each
 * request and response, after which a property read or a listener added takes longer than all that is done here. And
 * Node does not tell a response that its connection has closed while it still waits behind others on it.
 */
export function requestsOn<T extends OnConnection>(line: Line): Map<IncomingMessage, T> {
  const requests = line[held]
  return (requests === undefined ? open(line) : requests) as Map<IncomingMessage, T>
}

function open(line: Line): Map<IncomingMessage, OnConnection> {
  const requests = new Map<IncomingMessage, OnConnection>()
  line[held] = requests
  line.once('close', () => {
    for (const exchange of requests.values()) exchange.connectionClosed()
  })
  return requests
}

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
    ;(socket as Line)[held]?.get(request)?.responseSent()
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
