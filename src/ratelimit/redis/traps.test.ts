/** What went wrong in other limiters on Redis, each named by what happened there. */
import type { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { manualClock } from '../../testing/index.ts'
import { redisLimiter } from './redis-limiter.ts'
import type { RedisLimiter, RedisLimiterOptions } from './types.ts'

let client: Redis
let names = 0

ownRedis(started => {
  client = started
})

function make(options: Partial<RedisLimiterOptions> = {}): RedisLimiter {
  return redisLimiter({
    client,
    name: `trap-${names++}`,
    limits: { limit: 100, periodMs: 60_000 },
    nodes: 1,
    outage: 'closed',
    timeoutMs: 1_000,
    ...options,
  } as RedisLimiterOptions)
}

const own = (limiter: RedisLimiter): Promise<string[]> => client.keys(`spillway:{${limiter.name}/*`)

describe('in Redis', () => {
  test.each(['exact', 'leased', 'fair'] as const)(
    'no key lives for ever, nor dies before what it knows is over, since a number was compared with text: %s',
    async mode => {
      const limiter = make({ mode } as never)
      for (let i = 0; i < 3; i++) await limiter.take('a', 10)
      await limiter.block('b', 5_000)
      await limiter.charge('c', 50)
      const keys = await own(limiter)
      expect(keys.length).toBeGreaterThan(0)
      for (const key of keys) {
        const left = await client.pttl(key)
        expect(left).toBeGreaterThan(0)
        expect(left).toBeLessThanOrEqual(120_000)
      }
      await limiter.close()
    },
  )

  test('no window of a fraction of a second is cut down to one without an end', async () => {
    for (const windowMs of [1, 500, 1_500]) {
      const limiter = make({ limits: { limit: 1_000, windowMs, buckets: 1 } })
      await limiter.take('a')
      for (const key of await own(limiter)) {
        // The key may be gone by now, but it never stays.
        expect(await client.pttl(key)).not.toBe(-1)
        expect(await client.pttl(key)).toBeLessThanOrEqual(2 * windowMs)
      }
    }
  })

  test('no time is written in 14 digits, which would cut microseconds off', async () => {
    const limiter = make({ limits: { limit: 7, periodMs: 7 } })
    const seen = new Set<string>()
    for (let i = 0; i < 40; i++) {
      await limiter.take(`k${i}`, 7)
      for (const key of await own(limiter)) {
        const text = await client.get(key)
        if (text === null) continue
        expect(text).toMatch(/^\d+$/)
        seen.add(text.slice(-2))
      }
    }
    expect(seen.size).toBeGreaterThan(1)
  })
})

/** A client whose every command fails with `message`, or never ends. */
function broken(message?: string): { client: never; sent: string[] } {
  const sent: string[] = []
  const answer = (command: string) => (): Promise<unknown> => {
    sent.push(command)
    return message === undefined ? new Promise(() => {}) : Promise.reject(new Error(message))
  }
  return { client: { status: 'ready', evalsha: answer('evalsha'), eval: answer('eval') } as never, sent }
}

describe('a failing Redis', () => {
  test.each([
    "READONLY You can't write against a read only replica.",
    'MOVED 3999 127.0.0.1:6381',
    'LOADING Redis is loading the dataset in memory',
    "CROSSSLOT Keys in request don't hash to the same slot",
    'CLUSTERDOWN The cluster is down',
    'ERR Error running script: NOSCRIPT',
    'Connection is closed.',
  ])(
    'is an outage, neither a grant nor a denial by the limit, and nothing is sent twice: %s',
    async message => {
      for (const outage of ['closed', 'open', 'local'] as const) {
        const { client, sent } = broken(message)
        const limiter = make({ client, outage })
        const decision = await limiter.take('a')
        expect(decision).toMatchObject({
          allowed: outage !== 'closed',
          source: outage === 'local' ? 'share' : outage,
        })
        expect(sent).toEqual(['evalsha'])
      }
    },
  )

  test('is not asked again for a take that timed out, whose effect nobody knows', async () => {
    const clock = manualClock()
    const { client, sent } = broken()
    const limiter = make({ client, clock, timeoutMs: 50, outage: 'open' })
    const asked = limiter.take('a')
    await clock.advance(50)
    expect(await asked).toMatchObject({ allowed: true, source: 'open' })
    await clock.advance(10_000)
    expect(sent).toEqual(['evalsha'])
    expect(clock.armed).toBe(0)
  })
})
