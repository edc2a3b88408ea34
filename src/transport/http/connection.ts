import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Something that goes on over a connection, on behalf of one request. */
interface OnConnection {
  connectionClosed(): void
}

const connections = new WeakMap<Socket, Map<IncomingMessage, OnConnection>>()

/**
 * The requests that are in progress on a connection, each with what is to be told when the connection closes.
 *
 * Kept here and not with the request, because this is what costs least: a property on a request of express, a
 * `WeakMap` of requests or a second listener on each response takes several times as long as all of the rest. And
 * Node does not tell a response that its connection has closed while it still waits behind others on it.
 */
export function requestsOn<T extends OnConnection>(socket: Socket): Map<IncomingMessage, T> {
  const held = connections.get(socket)
  if (held !== undefined) return held as Map<IncomingMessage, T>
  const requests = new Map<IncomingMessage, T>()
  connections.set(socket, requests)
  socket.once('close', () => {
    for (const exchange of requests.values()) exchange.connectionClosed()
  })
  return requests
}
