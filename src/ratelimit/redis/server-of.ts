import type { RedisClient } from '../../internal/redis-client.ts'

interface Address {
  readonly host?: string
  readonly port?: number
  readonly path?: string | null
  readonly db?: number
  readonly keyPrefix?: string
}

/** An object for each server that a client has been made for: as many as are configured, so it stays small. */
const servers = new Map<string, object>()

/**
 * What stands for the keys that a client reaches, so that two clients of one server are seen to reach the same. A
 * client that does not say where it is connected, and that of a cluster, stands for itself.
 */
export function serverOf(client: RedisClient & { readonly options?: unknown }): object {
  const address = client.options as Address | undefined
  if (typeof address?.port !== 'number' || typeof address.host !== 'string') return client
  const { host, port, path, db, keyPrefix } = address
  const name = JSON.stringify([path ?? [host, port], db, keyPrefix])
  let server = servers.get(name)
  if (server === undefined) {
    server = {}
    servers.set(name, server)
  }
  return server
}
