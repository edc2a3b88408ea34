import type { Socket } from 'node:net'

/** Something that goes on over a connection. */
interface OnConnection {
  connectionClosed(): void
}

const connections = new WeakMap<Socket, Set<OnConnection>>()

/**
 * What goes on over a connection, to be told when it closes. One listener on the connection serves all of it.
 *
 * Node tells a response that its connection has closed, but not one that still waits behind others on it, and a
 * listener on every response would cost many times as much.
 */
export function onConnection(socket: Socket): Set<OnConnection> {
  const held = connections.get(socket)
  if (held !== undefined) return held
  const users = new Set<OnConnection>()
  connections.set(socket, users)
  socket.once('close', () => {
    for (const user of users) user.connectionClosed()
  })
  return users
}
