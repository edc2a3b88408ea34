import { warn } from '../../core/warn.ts'
import type { RedisClient } from '../../internal/redis-client.ts'

const GUIDE = 'docs/rate-limiting-redis.md'

interface ClientOptions {
  readonly enableOfflineQueue?: boolean
  readonly autoResendUnfulfilledCommands?: boolean
  readonly maxRetriesPerRequest?: number | null
  readonly redisOptions?: ClientOptions
}

/**
 * A client with a queue keeps what it cannot send, and does it all when Redis is back: no call waits for that here,
 * but each take of the outage would then be charged, some of them twice, for calls that were answered long ago.
 */
export function warnOfflineQueue(name: string, client: RedisClient & { readonly options?: unknown }): void {
  const given = client.options as ClientOptions | undefined
  if (typeof given !== 'object' || given === null) return
  // The connections of a Cluster have options of their own; its own queue waits for the layout of the slots.
  const options = { ...given, ...given.redisOptions }
  const kept: string[] = []
  if (options.enableOfflineQueue !== false) kept.push('enableOfflineQueue: false')
  if (options.autoResendUnfulfilledCommands !== false) kept.push('autoResendUnfulfilledCommands: false')
  if (kept.length === 0) return
  warn(
    'SPILLWAY_REDIS_OFFLINE_QUEUE',
    `The Redis client of the limiter '${name}' keeps commands for later while Redis is away, so calls that were answered long ago are charged when it is back. Give the limiter a client of its own with { ${kept.join(', ')} }. See ${GUIDE}#spillway_redis_offline_queue`,
  )
}
