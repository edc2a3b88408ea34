/** What is asked of every limiter, of one whose state is in Redis and of one whose state is in a cluster. */
import { once } from 'node:events'
import fc from 'fast-check'
import { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, describe } from 'vitest'
import { KeyNames } from '../../src/ratelimit/redis/keys.ts'
import type { RedisLimit } from '../../src/ratelimit/redis/limits.ts'
import { buildLimiter } from '../../src/ratelimit/redis/redis-limiter.ts'
import { itConforms, type Subject } from '../support/limiter-conformance.ts'
import { bucketsModel, gcraModel } from '../support/limiter-models.ts'
import { startRedis, startRedisCluster } from '../support/redis.ts'
import { CLUSTER_TEST_TIME, setTime, TEST_TIME } from '../support/redis-time.ts'

/** A midnight, so that all buckets of a window begin here. */
const START_US = 900 * 86_400_000_000

let built = 0

/** The server's time never goes back in here: what happens if it does is another test's. */
function subjectOf(client: Redis | Cluster, limit: RedisLimit): Subject {
  const clustered = client instanceof Cluster
  const name = `conform-${built++}`
  const names = new KeyNames(name, [{ name, keyBy: undefined }])
  const limiter = buildLimiter(
    // A remembered denial does not know what has come back since then, and `remaining` is compared exactly.
    { client, name, limits: limit, outage: 'closed', timeoutMs: 10_000, denyCacheKeys: 0 },
    clustered ? CLUSTER_TEST_TIME : TEST_TIME,
  )
  let latest = 0
  const at = (key: string, us: number): void => {
    latest = Math.max(latest, Math.ceil(us - 1e-3))
    const tag = clustered ? /\{[^}]*\}/.exec(names.of(key)[0]!)![0] : ''
    void setTime(client, START_US + latest, tag)
  }
  return {
    async take(key, cost, us) {
      at(key, us)
      return limiter.take(key, cost)
    },
    async peek(key, cost, us) {
      at(key, us)
      return limiter.peek(key, cost)
    },
    async refund(key, cost, us) {
      at(key, us)
      await limiter.refund(key, cost)
    },
  }
}

async function single(): Promise<{ client: Redis; stop(): Promise<void> }> {
  const server = await startRedis()
  const client = new Redis(server.port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
  await once(client, 'ready')
  return { client, stop: () => server.stop() }
}

async function cluster(): Promise<{ client: Cluster; stop(): Promise<void> }> {
  const servers = await startRedisCluster()
  const client = new Cluster(
    servers.ports.map(port => ({ host: '127.0.0.1', port })),
    { enableOfflineQueue: false, redisOptions: { autoResendUnfulfilledCommands: false } },
  )
  await once(client, 'ready')
  return { client, stop: () => servers.stop() }
}

describe.each([
  ['Redis', single, 8],
  ['a Redis Cluster', cluster, 2],
] as const)('a limit in %s', (_where, start, runs) => {
  let running: Awaited<ReturnType<typeof start>>
  beforeAll(async () => {
    running = await start()
  })
  afterAll(async () => {
    running.client.disconnect()
    await running.stop()
  })

  describe('bucket', () => {
    itConforms<{ limit: number; periodMs: number; burst: number }>({
      params: fc.record({
        limit: fc.constantFrom(1, 3, 10, 100),
        periodMs: fc.constantFrom(10, 1000, 60_000),
        burst: fc.integer({ min: 0, max: 12 }),
      }),
      limit: ({ burst }) => burst,
      edges: ({ limit, periodMs, burst }) => [
        (periodMs * 1000) / limit,
        (burst * periodMs * 1000) / limit,
        periodMs * 1000,
      ],
      bound: ({ limit, periodMs, burst }, us) => burst + (limit * us) / (periodMs * 1000),
      make: params => subjectOf(running.client, params),
      model: ({ limit, periodMs, burst }) => gcraModel(BigInt(limit), BigInt(periodMs * 1000), BigInt(burst)),
      runs,
    })
  })

  describe('window', () => {
    itConforms<{ limit: number; windowMs: number; buckets: number; oldest: 'whole' | 'weighted' }>({
      params: fc.record({
        limit: fc.integer({ min: 0, max: 10 }),
        windowMs: fc.constantFrom(1, 100, 1000, 60_000),
        buckets: fc.constantFrom(1, 2, 5, 10),
        oldest: fc.constantFrom('whole' as const, 'weighted' as const),
      }),
      limit: ({ limit }) => limit,
      edges: ({ windowMs, buckets }) => [(windowMs * 1000) / buckets, windowMs * 1000],
      // Whole: the limit in each window that an interval touches. Weighted: less than twice that.
      bound: ({ limit, windowMs, oldest }, us) =>
        limit * (Math.floor(us / (windowMs * 1000)) + 1) * (oldest === 'whole' ? 1 : 2),
      make: params => subjectOf(running.client, params),
      model: ({ limit, windowMs, buckets, oldest }) =>
        bucketsModel(BigInt(limit), BigInt(windowMs * 1000), BigInt(buckets), oldest === 'weighted'),
      runs,
    })
  })
})
