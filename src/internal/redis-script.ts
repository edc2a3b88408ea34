import { createHash } from 'node:crypto'

/** What the kit asks of a Redis client. `Redis` and `Cluster` of ioredis 5 and 6 both fit. */
export interface RedisClient {
  evalsha(sha1: string, numberOfKeys: number, ...keysAndArguments: (string | number)[]): Promise<unknown>
  eval(script: string, numberOfKeys: number, ...keysAndArguments: (string | number)[]): Promise<unknown>
}

/** A Lua script and the name that Redis knows it by. */
export interface RedisScript {
  readonly source: string
  /** Runs it in one round trip; in two on a server that has not seen it, because it is new or was restarted. */
  run(client: RedisClient, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
}

export function redisScript(source: string): RedisScript {
  const sha1 = createHash('sha1').update(source).digest('hex')
  return {
    source,
    run: (client, keys, args) =>
      client.evalsha(sha1, keys.length, ...keys, ...args).catch((error: unknown) => {
        // Only this error means that nothing was done; after any other the script may have run.
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return client.eval(source, keys.length, ...keys, ...args)
      }),
  }
}
