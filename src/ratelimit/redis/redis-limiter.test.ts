import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../../test/support/redis.ts'
import { redisLimiter } from './redis-limiter.ts'

let server: RedisServer
let client: Redis
const warnings: (Error & { code?: string })[] = []
const collect = (warning: Error): void => void warnings.push(warning)

beforeAll(async () => {
  process.on('warning', collect)
  server = await startRedis()
  client = new Redis(server.port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
  await new Promise(resolve => client.once('ready', resolve))
})
afterAll(async () => {
  process.off('warning', collect)
  client.disconnect()
  await server.stop()
})

describe('the options', () => {
  const base = { name: 'n', limits: { limit: 1, periodMs: 1 } }
  test.each([
    [{ ...base, client: {} }, 'Expected `client`'],
    [{ ...base, nodes: undefined }, 'Expected `nodes`, how many processes'],
    [{ ...base, name: 'a:b' }, 'Expected `name`'],
    [{ ...base, nodes: 1, timeoutMs: 0 }, 'Expected `timeoutMs`'],
    [{ ...base, nodes: 1, mode: 'magic' }, 'Expected `mode`'],
    [{ ...base, nodes: 1, burst: 7 }, 'has no option `burst`'],
    [{ ...base, nodes: 1, limits: [] }, 'Expected `limits`'],
    [{ ...base, nodes: 1, limits: { limit: 1, windowMs: 1, buckets: 7 } }, 'buckets of whole microseconds'],
    [{ ...base, nodes: 1, limits: [base.limits, base.limits] }, 'got two called'],
    [{ ...base, nodes: 1, limits: { limit: 1e12, periodMs: 0.001 } }, 'Expected a rate'],
  ])('%#: are checked at construction', (options, message) => {
    expect(() => redisLimiter({ client, ...options } as never)).toThrow(message)
  })

  test('a client that keeps commands for later is warned about, once and with a code', async () => {
    const queueing = new Redis(server.port, { lazyConnect: true })
    const build = (name: string): unknown =>
      redisLimiter({ client: queueing, name, limits: base.limits, outage: 'open' })
    build('queued')
    const again = { client: queueing, name: 'queued', limits: base.limits, outage: 'open' } as const
    redisLimiter(again)
    await new Promise(resolve => setImmediate(resolve))
    const codes = warnings.map(({ code, message }) => [code, message.includes("'queued'")])
    expect(codes.filter(([code]) => code === 'SPILLWAY_REDIS_OFFLINE_QUEUE')).toEqual([
      ['SPILLWAY_REDIS_OFFLINE_QUEUE', true],
    ])
    expect(codes).toContainEqual(['SPILLWAY_LIMITER_SHARED_KEYS', true])
    queueing.disconnect()
  })
})
