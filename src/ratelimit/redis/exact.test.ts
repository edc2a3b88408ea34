import type { Redis } from 'ioredis'
import { beforeEach, describe, expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { Fleet } from '../../../test/support/redis-fleet.ts'
import { setTime, TEST_TIME } from '../../../test/support/redis-time.ts'
import { manualClock } from '../../testing/index.ts'
import { keyParts } from '../keyed-by.ts'
import type { Decision } from '../limiter.ts'
import { buildLimiter, redisLimiter } from './redis-limiter.ts'
import type { ExactOptions, RedisLimiter } from './types.ts'

let client: Redis
let names = 0

ownRedis(started => {
  client = started
})
beforeEach(() => setTime(client, 80_000_000_000_000))

const clock = manualClock()

function limiterWith(options: Partial<ExactOptions> = {}): RedisLimiter {
  return buildLimiter(
    {
      client,
      clock,
      name: `test-${names++}`,
      limits: { limit: 10, periodMs: 1_000 },
      outage: 'closed',
      ...options,
    },
    TEST_TIME,
  )
}

const commands = (limiter: RedisLimiter): number => limiter.snapshot().redis.commands

describe('an exact limiter', () => {
  test('says all that a limiter says', async () => {
    const limiter = limiterWith({ name: 'api' })
    expect(await limiter.take('a', 4)).toEqual({
      allowed: true,
      limit: 10,
      remaining: 6,
      retryAfterMs: 0,
      resetAfterMs: 400,
      policy: 'api',
      source: 'redis',
      shadowed: false,
      parts: undefined,
    })
    expect(await limiter.take('a', 7)).toMatchObject({ allowed: false, remaining: 6, retryAfterMs: 100 })
    expect(await limiter.peek('a', 6)).toMatchObject({ allowed: true, remaining: 6 })
    expect(limiter.policies()).toEqual([{ name: 'api', quota: 10, windowMs: 1_000 }])
  })

  test('tells never from not now', async () => {
    const limiter = limiterWith()
    expect(await limiter.take('a', 11)).toMatchObject({ allowed: false, retryAfterMs: Infinity })
    const none = limiterWith({ limits: { limit: 0, periodMs: 1_000 } })
    expect(await none.take('a')).toMatchObject({ allowed: false, retryAfterMs: Infinity, limit: 0 })
  })

  test.each([Number.NaN, -1, Infinity, 1.5, '1'])('refuses a cost of %s and changes nothing', async cost => {
    const limiter = limiterWith()
    expect(() => limiter.take('a', cost as number)).toThrow('Expected `cost`')
    expect(await limiter.peek('a')).toMatchObject({ remaining: 10 })
  })

  test('answers a key that is denied without asking again, until the denial is over', async () => {
    const limiter = limiterWith()
    await limiter.take('a', 10)
    await limiter.take('a', 5)
    const before = commands(limiter)
    clock.jump(499)
    for (let i = 0; i < 100; i++) {
      expect(limiter.take('a', 5)).toMatchObject({ allowed: false, source: 'cache', retryAfterMs: 1 })
    }
    expect(commands(limiter)).toBe(before)
    clock.jump(1)
    await setTime(client, 80_000_000_500_000)
    expect(await limiter.take('a', 5)).toMatchObject({ allowed: true, source: 'redis' })
  })

  test('a denial of an expensive call denies no cheap one', async () => {
    const limiter = limiterWith()
    await limiter.take('a', 8)
    expect(await limiter.take('a', 5)).toMatchObject({ allowed: false })
    expect(limiter.take('a', 6)).toMatchObject({ allowed: false, source: 'cache' })
    expect(await limiter.take('a', 2)).toMatchObject({ allowed: true, source: 'redis' })
  })

  test('a refund is felt at once', async () => {
    const limiter = limiterWith()
    await limiter.take('a', 10)
    expect(await limiter.take('a')).toMatchObject({ allowed: false })
    await limiter.refund('a', 3)
    expect(await limiter.take('a', 3)).toMatchObject({ allowed: true, remaining: 0 })
  })

  test('takes from several limits at once, or from none', async () => {
    const limiter = limiterWith({
      limits: [
        { name: 'second', limit: 3, windowMs: 1_000 },
        { name: 'tenant', limit: 5, periodMs: 60_000, keyBy: key => keyParts(key)[0]! },
      ],
    })
    await limiter.take('t/a', 3)
    const denied = await limiter.take('t/a')
    expect(denied).toMatchObject({ allowed: false, policy: 'second' })
    expect(denied.parts).toMatchObject([
      { policy: 'second', allowed: false, remaining: 0 },
      { policy: 'tenant', allowed: true, remaining: 2 },
    ])
    // The caller who ran into his own limit took nothing of the one that he shares.
    expect(await limiter.take('t/b', 2)).toMatchObject({ allowed: true, remaining: 0 })
    expect(await limiter.take('t/c')).toMatchObject({ allowed: false, policy: 'tenant' })
    expect(await limiter.take('u/c')).toMatchObject({ allowed: true })
  })

  test('blocks a key for everybody, and lets it go', async () => {
    const name = `shared-${names}`
    const [one, two] = [limiterWith({ name }), limiterWith({ name })]
    await one.block('a', 250)
    expect(await two.take('a')).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: 250 })
    expect(await one.take('b')).toMatchObject({ allowed: true })
    await two.block('a', 0)
    expect(await two.take('a')).toMatchObject({ allowed: true, remaining: 9 })
    await one.block('a', Infinity)
    expect(await one.take('a', 0)).toMatchObject({ allowed: false, retryAfterMs: Infinity })
  })

  test('a charge is a debt of no more than one limit', async () => {
    const limiter = limiterWith()
    await limiter.charge('a', 1_000_000)
    expect(await limiter.take('a')).toMatchObject({
      allowed: false,
      retryAfterMs: 1_100,
      resetAfterMs: 2_000,
    })
  })

  test('a clock that jumped, or a limit that was lowered, blocks for no longer than a bucket takes to fill', async () => {
    const limiter = limiterWith()
    await limiter.take('a', 10)
    await setTime(client, 10_000_000_000_000)
    expect(await limiter.peek('a')).toMatchObject({ allowed: false, retryAfterMs: 1_100 })
    const windows = limiterWith({ limits: { limit: 10, windowMs: 1_000 } })
    await setTime(client, 80_000_000_000_000)
    await windows.take('a', 10)
    await setTime(client, 10_000_000_000_000)
    expect(await windows.peek('a')).toMatchObject({ allowed: false, retryAfterMs: 1_100 })
  })

  test('changes its limits while it runs, and keeps what was taken', async () => {
    const limiter = limiterWith()
    await limiter.take('a', 10)
    limiter.update({ limits: { limit: 100, periodMs: 1_000 } })
    expect(await limiter.take('a')).toMatchObject({ allowed: false, limit: 100, retryAfterMs: 10 })
    expect(() => limiter.update({ limits: { limit: -1, periodMs: 1_000 } })).toThrow(
      'Expected `limits.limit`',
    )
    expect(limiter.snapshot().settings).toEqual({
      limits: { limit: 100, periodMs: 1_000 },
      outage: 'closed',
    })
  })

  test('reads the real clock of the server', async () => {
    const limiter = redisLimiter({ client, name: 'real', limits: { limit: 1, periodMs: 60_000 }, nodes: 1 })
    expect(await limiter.take('a')).toMatchObject({ allowed: true, resetAfterMs: 60_000 })
    const { retryAfterMs } = await limiter.take('a')
    expect(retryAfterMs).toBeGreaterThan(50_000)
    expect(retryAfterMs).toBeLessThan(60_000)
  })

  test('is asked again after the server forgot the script', async () => {
    const limiter = limiterWith()
    await limiter.take('a')
    await client.script('FLUSH')
    expect(await limiter.take('a')).toMatchObject({ source: 'redis', remaining: 8 })
  })
})

describe('while Redis is away', () => {
  /** A limiter that worked once and lost its server. */
  async function cutOff(options: Partial<ExactOptions>): Promise<RedisLimiter> {
    const gone = Object.create(client, { status: { value: 'ready', writable: true } }) as Redis
    const limiter = limiterWith({ client: gone, ...options })
    await limiter.take('a', 2)
    ;(gone as { status: string }).status = 'reconnecting'
    return limiter
  }

  test('open grants what could be granted, and closed denies', async () => {
    const open = await cutOff({ outage: 'open' })
    expect(open.take('a', 10)).toMatchObject({ allowed: true, source: 'open' })
    expect(open.take('a', 11)).toMatchObject({ allowed: false, source: 'open', retryAfterMs: Infinity })
    const closed = await cutOff({ outage: 'closed' })
    expect(closed.take('a')).toMatchObject({ allowed: false, source: 'closed', retryAfterMs: 100 })
    expect(closed.snapshot().sources).toEqual({ redis: 1, closed: 1 })
  })

  test('local grants a share that knows what was taken before', async () => {
    const limiter = await cutOff({ outage: 'local', nodes: 2 })
    expect(limiter.take('a', 3)).toMatchObject({ allowed: true, source: 'share', limit: 5, remaining: 0 })
    expect(limiter.take('a')).toMatchObject({ allowed: false, source: 'share' })
    expect(limiter.take('b', 5)).toMatchObject({ allowed: true })
    // Not now, but not never: the limit itself would grant it.
    const { retryAfterMs } = limiter.take('b', 6) as { retryAfterMs: number }
    expect(Number.isFinite(retryAfterMs)).toBe(true)
  })

  test('all processes together grant no more than twice the limit in an interval in which Redis goes or comes', async () => {
    let state = 5
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    const name = `away-${names++}`
    const [limit, burst] = [300, 60]
    const fleet = new Fleet(client, () => Math.floor(random() * 20))
    const limiters = Array.from({ length: 3 }, () => {
      const node = fleet.join(random() * 1e9)
      const limits = { limit, periodMs: 1_000, burst }
      return limiterWith({ name, limits, client: node.client, clock: node.clock, outage: 'local', nodes: 3 })
    })
    const settle = ({ allowed }: Decision): void => {
      if (allowed) fleet.granted(1)
    }
    for (let ms = 0; ms < 3_000; ms++) {
      // Away for 300 ms of every 600; at first only one of them has any calls.
      fleet.redisAway = ms % 600 >= 300
      for (const limiter of ms < 400 ? limiters.slice(0, 1) : limiters) {
        const asked = limiter.take('a')
        if (asked instanceof Promise) void asked.then(settle)
        else settle(asked)
      }
      await fleet.pass(1)
    }
    const sources = limiters.map(limiter => limiter.snapshot().sources)
    for (const each of sources) {
      expect(each.redis).toBeGreaterThan(0)
      expect(each.share).toBeGreaterThan(0)
    }
    // More than the limit, since what Redis granted and what the shares grant are counted apart.
    expect(fleet.excess(burst, limit / 1_000)).toBeGreaterThan(0)
    expect(fleet.excess(2 * burst, (2 * limit) / 1_000)).toBeLessThanOrEqual(0)
  })

  test('what could not be told to Redis is counted', async () => {
    const limiter = await cutOff({ outage: 'closed' })
    await limiter.refund('a', 1)
    await limiter.charge('a', 1)
    await limiter.block('a', 100)
    expect(limiter.snapshot().lost).toBe(3)
  })
})
