import { createHash } from 'node:crypto'
import { batchOf } from './redis-batch.ts'
import type { RedisClient } from './redis-client.ts'

/** A Lua script that Redis knows by its digest. */
export interface RedisScript {
  /** Runs it in one round trip; in two on a server that has not seen it, because it is new or was restarted. */
  run(client: RedisClient, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
}

export function redisScript(source: string): RedisScript {
  const script = { source, sha1: createHash('sha1').update(source).digest('hex') }
  return { run: (client, keys, args) => batchOf(client).run(script, keys, args) }
}
