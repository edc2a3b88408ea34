import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Something that goes on over a connection, on behalf of one request. */
interface OnConnection {
  connectionClosed(): void
  responseSent(): void
}

const held: unique symbol = Symbol('spillway.requests')

type Line = Socket & { [held]?: Map<IncomingMessage, OnConnection> }

/**
 * What the requests of a connection are kept on: the socket. In HTTP/2 it is the stream, which closes with its one
 * request: what stands there for the socket keeps its fields for all streams, and closes with each of them.
 */
export function lineOf(request: IncomingMessage): Socket {
  return request.httpVersionMajor > 1 ? (request as unknown as { stream: Socket }).stream : request.socket
}

/** What goes on for `request`, wherever it comes from: one made up for a test need not have a connection. */
export function onBehalfOf<T extends OnConnection>(request: IncomingMessage): T | undefined {
  const line: Line | undefined = lineOf(request)
  return line?.[held]?.get(request) as T | undefined
}

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
  // What stands for the socket where requests are made up, on a platform of functions, tells nobody anything.
  if (typeof line.once !== 'function') return requests
  line.once('close', () => {
    for (const exchange of requests.values()) exchange.connectionClosed()
  })
  return requests
}

/** Tells what goes on for `request` that its response has been handed to the network. */
export function responseSent(line: Line, request: IncomingMessage): void {
  line[held]?.get(request)?.responseSent()
}
