import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ownRedis } from '../../test/support/own-redis.ts'
import { batchOf } from './redis-batch.ts'
import { redisScript } from './redis-script.ts'

let client: Redis
ownRedis(started => {
  client = started
})

/** Writes so far, as the server counts reads from its sockets. */
async function reads(): Promise<number> {
  return Number(/total_reads_processed:(\d+)/.exec(await client.info('stats'))![1])
}

const echo = redisScript('return { KEYS[1], ARGV[1] }')
const picky = redisScript(`if ARGV[1] == 'bad' then return redis.error_reply('ERR no') end return ARGV[1]`)

test('what is asked in one turn goes out in one write, and each gets its own reply', async () => {
  await echo.run(client, ['k'], ['first'])
  const before = await reads()
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => echo.run(client, [`k${i}`], [i])))
  expect((await reads()) - before).toBeLessThan(10)
  expect(replies).toEqual(Array.from({ length: 50 }, (_, i) => [`k${i}`, String(i)]))
})

test('what the replies of a turn make their callers ask for goes out in one write too', async () => {
  await echo.run(client, ['k'], ['first'])
  const before = await reads()
  const twice = async (i: number): Promise<unknown> => {
    await echo.run(client, ['k'], [i])
    return echo.run(client, ['k'], [-i])
  }
  await Promise.all(Array.from({ length: 50 }, (_, i) => twice(i)))
  expect((await reads()) - before).toBeLessThan(20)
})

test('a server that knows none of the scripts is told each of them, alone or in a batch', async () => {
  await client.script('FLUSH')
  expect(await echo.run(client, ['k'], ['alone'])).toEqual(['k', 'alone'])
  await client.script('FLUSH')
  const asked = ['a', 'b'].flatMap(word => [echo.run(client, ['k'], [word]), picky.run(client, [], [word])])
  expect(await Promise.all(asked)).toEqual([['k', 'a'], 'a', ['k', 'b'], 'b'])
})

test('one that fails in a batch fails by itself', async () => {
  const settled = await Promise.allSettled(['a', 'bad', 'b'].map(word => picky.run(client, [], [word])))
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect((settled[1] as PromiseRejectedResult).reason.message).toContain('no')
})

test('a client without a connection fails each of them', async () => {
  const away = new Redis(1, { lazyConnect: true, enableOfflineQueue: false, retryStrategy: () => null })
  away.on('error', () => undefined)
  for (const count of [1, 3]) {
    const settled = await Promise.allSettled(Array.from({ length: count }, () => echo.run(away, ['k'], [])))
    expect(settled.map(({ status }) => status)).toEqual(Array(count).fill('rejected'))
  }
  away.disconnect()
})

test('a client that cannot pipeline, is a cluster or pipelines by itself is asked at once', () => {
  const asked: string[] = []
  const plain = {
    evalsha: (sha1: string) => {
      asked.push(sha1)
      return Promise.resolve(1)
    },
    eval: () => Promise.resolve(1),
  }
  const pipeline = (): never => {
    throw new Error('not to be used')
  }
  const clients = [
    plain,
    { ...plain, pipeline, isCluster: true },
    { ...plain, pipeline, options: { enableAutoPipelining: true } },
  ]
  for (const one of clients) {
    void echo.run(one, ['k'], [])
    void echo.run(one, ['k'], [])
  }
  expect(asked).toHaveLength(6)
})

test('all that share a client share its batch', () => {
  expect(batchOf(client)).toBe(batchOf(client))
})

test('a client that throws where it should reject fails the call', async () => {
  const thrower = {
    evalsha: (): never => {
      throw new Error('thrown')
    },
    eval: () => Promise.resolve(1),
  }
  await expect(echo.run(thrower, ['k'], [])).rejects.toThrow('thrown')
  const pipeline = thrower.evalsha
  const both = [echo.run({ ...thrower, pipeline } as never, [], []), undefined]
  await expect(both[0]).rejects.toThrow('thrown')
  const client = { ...thrower, pipeline } as never
  const settled = await Promise.allSettled([echo.run(client, [], []), echo.run(client, [], [])])
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})
