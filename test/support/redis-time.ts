import type { Cluster, Redis } from 'ioredis'

/**
 * Stands in a script where it reads the server's time: that is the key `test:now`, in microseconds, so that a test
 * moves it. Keys then live ten seconds longer than the script says, because real time has nothing to do with it, and
 * what it said stands in `test:ttl:` and the key.
 */
export const TEST_TIME: string = `
local server = redis
local now = tonumber(server.call('GET', 'test:now'))
local redis = {
  call = function(command, ...)
    local key, value, option, ttl = ...
    if command ~= 'SET' or option ~= 'PX' then return server.call(command, ...) end
    server.call('SET', 'test:ttl:' .. key, ttl)
    return server.call('SET', key, value, 'PX', ttl + 10000)
  end
}
`

/** In a cluster there is a `test:now` for each hash tag: `test:now{limiter/key}`. */
export const CLUSTER_TEST_TIME: string = TEST_TIME.replace(
  `'test:now'`,
  `'test:now' .. string.match(KEYS[1], '{[^}]*}')`,
)

export async function setTime(
  client: Redis | Cluster,
  microseconds: number,
  tag: string = '',
): Promise<void> {
  await client.set(`test:now${tag}`, microseconds.toFixed(0))
}
