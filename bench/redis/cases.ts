/** Ways to ask a Redis whether a key may have one more, all through the client that they are given. */
import type { Redis } from 'ioredis'
import { RedisStore } from 'rate-limit-redis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { redisLimiter } from 'spillway/ratelimit/redis'

export type Ask = (key: string) => unknown

/** More than anybody asks for: what is measured is the way of a call that is granted. */
const LIMIT = 100_000_000
const PERIOD_MS = 60_000

export const cases: Readonly<Record<string, (client: Redis) => Promise<Ask>>> = {
  'bare script': async client => {
    const { sha1, keys, args } = await recorded(client)
    const tail = args.slice(keys.length)
    return key =>
      client.evalsha(
        sha1,
        keys.length,
        `spillway:{bare/${key}}:bare`,
        `spillway:{bare/${key}}:#block`,
        ...tail,
      )
  },
  'spillway exact': async client => {
    const limits = { limit: LIMIT, periodMs: PERIOD_MS }
    const limiter = redisLimiter({ client, name: 'exact', limits, nodes: 4, timeoutMs: 5_000 })
    return key => limiter.take(key)
  },
  'rate-limiter-flexible': async client => {
    const duration = PERIOD_MS / 1000
    const limiter = new RateLimiterRedis({ storeClient: client, points: LIMIT, duration })
    return key => limiter.consume(key)
  },
  'rate-limit-redis': async client => {
    const store = new RedisStore({
      sendCommand: (command: string, ...args: string[]) => client.call(command, ...args) as Promise<any>,
    })
    store.init({ windowMs: PERIOD_MS } as Parameters<typeof store.init>[0])
    await store.increment('warm')
    return key => store.increment(key)
  },
}

interface Recorded {
  readonly sha1: string
  readonly keys: readonly string[]
  /** Keys and arguments. */
  readonly args: readonly (string | number)[]
}

/** What `exact` sends for a call, seen on its way. */
async function recorded(client: Redis): Promise<Recorded> {
  let seen: Recorded | undefined
  const spy = {
    evalsha: (sha1: string, count: number, ...args: (string | number)[]) => {
      seen = { sha1, keys: args.slice(0, count) as string[], args }
      return client.evalsha(sha1, count, ...args)
    },
    eval: (script: string, count: number, ...args: (string | number)[]) =>
      client.eval(script, count, ...args),
  }
  const limits = { limit: LIMIT, periodMs: PERIOD_MS }
  await redisLimiter({ client: spy, name: 'bare', limits, nodes: 4, timeoutMs: 5_000 }).take('k')
  return seen!
}
