/** What each mode answers to what makes no sense: the same as the limiters of one process. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../../test/support/redis.ts'
import { keyedBy } from '../keyed-by.ts'
import type { Decision } from '../limiter.ts'
import { redisLimiter } from './redis-limiter.ts'
import type { RedisLimiter, RedisLimiterOptions } from './types.ts'

let server: RedisServer
let client: Redis
let names = 0
const open: RedisLimiter[] = []

beforeAll(async () => {
  server = await startRedis()
  client = new Redis(server.port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
  await new Promise(resolve => client.once('ready', resolve))
})
afterAll(async () => {
  await Promise.all(open.map(limiter => limiter.close()))
  client.disconnect()
  await server.stop()
})

type Mode = 'exact' | 'leased' | 'fair'

function make(mode: Mode, limit = 40): RedisLimiter {
  const limiter = redisLimiter({
    mode,
    client,
    name: `bad-${names++}`,
    // So slowly that nothing comes back while a test runs; big enough for leases and shares.
    limits: { limit: 1, periodMs: 3_600_000, burst: limit },
    nodes: 1,
    outage: 'closed',
    timeoutMs: 1_000,
  } as RedisLimiterOptions)
  open.push(limiter)
  return limiter
}

const noCosts = [Number.NaN, -1, -0.5, Infinity, -Infinity, 0.5, 2 ** 53, '1', '', null, [], {}, true, 1n]
const noKeys = [undefined, null, 7, Number.NaN, true, {}, [], ['a'], Symbol('s'), () => '']
const oddKeys = [
  '',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  '\0',
  '\ud800',
  '{a}b',
  'a}:b',
  '🦄',
]

function verbs(limiter: RedisLimiter, key: string, cost: number): (() => unknown)[] {
  return [
    () => limiter.take(key, cost),
    () => limiter.peek(key, cost),
    () => limiter.refund(key, cost),
    () => limiter.charge(key, cost),
  ]
}

/** What is left, said by all that the mode knows here. */
async function left(limiter: RedisLimiter, key: string): Promise<number> {
  return (await (limiter.peek(key) as Decision | Promise<Decision>)).remaining
}

describe.each(['exact', 'leased', 'fair'] as const)('bad input for a limit in Redis, %s', mode => {
  test('a cost that is no whole number from 0 up throws a RangeError, asks nobody and changes nothing', async () => {
    const limiter = make(mode)
    await limiter.take('a', 4)
    const before = limiter.snapshot()
    const remaining = await left(limiter, 'a')
    const { commands } = limiter.snapshot().redis
    for (const cost of noCosts) {
      for (const verb of verbs(limiter, 'a', cost as number)) expect(verb).toThrow(RangeError)
    }
    expect(limiter.snapshot()).toMatchObject({
      allowed: before.allowed,
      denied: 0,
      lost: 0,
      redis: { commands },
    })
    expect(await left(limiter, 'a')).toBe(remaining)
  })

  test('a key that is no string throws a TypeError and asks nobody', () => {
    const limiter = make(mode)
    for (const key of noKeys) {
      for (const verb of verbs(limiter, key as string, 1)) expect(verb).toThrow(TypeError)
      expect(() => limiter.block(key as string, 100)).toThrow(TypeError)
    }
    expect(limiter.snapshot()).toMatchObject({ keys: 0, redis: { commands: 0 } })
  })

  test('a block that lasts no time that there is throws', async () => {
    const limiter = make(mode)
    for (const forMs of [Number.NaN, -1, '5', null, undefined]) {
      expect(() => limiter.block('a', forMs as number)).toThrow(/forMs/)
    }
    expect((await limiter.take('a')).allowed).toBe(true)
  })

  test('what costs more than there can be is denied for ever, and nothing is taken for it', async () => {
    const limiter = make(mode)
    for (const cost of [41, 1_000_000, Number.MAX_SAFE_INTEGER]) {
      expect(await limiter.take('a', cost)).toMatchObject({ allowed: false, retryAfterMs: Infinity })
    }
    expect((await limiter.take('a', 40)).allowed).toBe(true)
  })

  test('a limit of 0 denies everything, for ever, and is not unlimited', async () => {
    const limiter = make(mode, 0)
    for (const cost of [0, 1, 5]) {
      expect(await limiter.take('a', cost)).toMatchObject({
        allowed: false,
        retryAfterMs: Infinity,
        remaining: 0,
        limit: 0,
      })
    }
  })

  test('the greatest charge and the greatest refund leave a count between nothing and the limit', async () => {
    const limiter = make(mode)
    await limiter.take('a')
    await limiter.charge('a', Number.MAX_SAFE_INTEGER)
    await limiter.refund('a', Number.MAX_SAFE_INTEGER)
    await limiter.refund('b', Number.MAX_SAFE_INTEGER)
    for (const key of ['a', 'b']) {
      const { remaining } = await limiter.peek(key)
      expect(remaining).toBeGreaterThanOrEqual(0)
      expect(remaining).toBeLessThanOrEqual(40)
    }
    let granted = 0
    for (let i = 0; i < 60; i++) if ((await limiter.take('b')).allowed) granted++
    expect(granted).toBeLessThanOrEqual(40)
  })

  test('keys that trip up objects used as maps, or move between servers, or are empty or no text, stay apart', async () => {
    const limiter = make(mode)
    for (const key of oddKeys) expect((await limiter.take(key, 40)).allowed).toBe(true)
    for (const key of oddKeys) {
      expect((await limiter.take(key)).allowed).toBe(false)
      expect((await limiter.take(`${key}x`)).allowed).toBe(true)
    }
  })

  test('keys of megabytes stay apart, and are short in Redis', async () => {
    const limiter = make(mode)
    const long = 'x'.repeat(3_000_000)
    expect((await limiter.take(long, 40)).allowed).toBe(true)
    expect((await limiter.take(long)).allowed).toBe(false)
    for (const other of [`${long}x`, `y${long}`]) expect((await limiter.take(other)).allowed).toBe(true)
    for (const key of await client.keys('*')) expect(key.length).toBeLessThan(300)
  })

  test('settings that make no sense throw, and those in force stay', async () => {
    const limiter = make(mode)
    const { settings } = limiter.snapshot()
    for (const change of [
      { limt: 1 },
      { limits: { limit: -1, periodMs: 1 } },
      { nodes: 0.5 },
      { outage: 'x' },
      7,
    ]) {
      expect(() => limiter.update(change as never)).toThrow()
    }
    expect(limiter.snapshot().settings).toEqual(settings)
    expect((await limiter.take('a', 40)).allowed).toBe(true)
  })
})

test('another key, or a slot, that is no string throws a TypeError: all keys would share one limit', () => {
  const limits = { name: 'tenant', limit: 5, periodMs: 1_000 }
  const options = { client, name: `bad-${names++}`, outage: 'closed' } as const
  const byTenant = redisLimiter({ ...options, limits: [{ ...limits, keyBy: () => undefined as never }] })
  expect(() => byTenant.take('a')).toThrow(TypeError)
  const bySlot = redisLimiter({ ...options, name: `bad-${names++}`, limits, slotBy: () => 7 as never })
  expect(() => bySlot.take('a')).toThrow(TypeError)
  expect(() => keyedBy(byTenant as never, 'x' as never)).toThrow(TypeError)
})
