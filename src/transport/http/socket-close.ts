import type { Socket } from 'node:net'

/** Callbacks by connection; each connection has one listener for all of them. */
const waiting = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `callback` when the connection closes, unless the function that it returns is called first. For responses
 * that wait behind others on a connection that is used for several requests at once: Node emits nothing on them
 * when it closes.
 */
export function onSocketClose(socket: Socket, callback: () => void): () => void {
  let callbacks = waiting.get(socket)
  if (callbacks === undefined) {
    const all = new Set<() => void>()
    waiting.set(socket, all)
    socket.once('close', () => {
      for (const callback of all) callback()
    })
    callbacks = all
  }
  const all = callbacks.add(callback)
  return () => {
    all.delete(callback)
  }
}
