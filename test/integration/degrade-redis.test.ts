/** Copies and switches in a real Redis: shared by processes, on the server's clock, and gone without harm. */
import { Redis } from 'ioredis'
import { createContext } from 'spillway'
import { fallback, type Kept, memoryStore, stale, switches } from 'spillway/degrade'
import { redisStore, redisSwitches } from 'spillway/degrade/redis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis.ts'

let server: RedisServer
let client: Redis
const clients: Redis[] = []

async function connect(port: number): Promise<Redis> {
  const made = new Redis(port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
  made.on('error', () => undefined)
  clients.push(made)
  await new Promise(resolve => made.once('ready', resolve))
  return made
}

beforeAll(async () => {
  server = await startRedis()
  client = await connect(server.port)
})
afterAll(async () => {
  for (const made of clients) made.disconnect()
  await server.stop()
})
beforeEach(() => client.flushall())

const value = (value: unknown): Kept => ({ value })
const life = { tookMs: 0, freshMs: 1_000, keepMs: 60_000 }
/** Waits until the server's clock has moved by `ms`, for it cannot be set. */
async function serverTime(ms: number): Promise<void> {
  const read = async () => {
    const [seconds, micros] = await client.time()
    return Number(seconds) * 1000 + Number(micros) / 1000
  }
  const until = (await read()) + ms
  while ((await read()) < until);
}

describe('redisStore', () => {
  it('gives back what was kept, with its age on the clock of the server', async () => {
    const store = redisStore({ client })
    expect(await store.get('a')).toBeUndefined()
    await store.set('a', value({ n: [1, 'ü'] }), { ...life, tookMs: 250 })
    await serverTime(5)
    const copy = (await store.get('a'))!
    expect(copy.kept).toEqual(value({ n: [1, 'ü'] }))
    expect(copy.freshMs).toBe(1_000)
    expect(copy.ageMs).toBeGreaterThanOrEqual(255)
    expect(copy.ageMs).toBeLessThan(60_000)
    const error = { error: { name: 'Error', message: 'none', status: 404 } }
    await store.set('b', error, life)
    expect((await store.get('b'))!.kept).toEqual(error)
    await store.set('c', value(undefined), life)
    expect((await store.get('c'))!.kept).toEqual(value(undefined))
    expect(store.snapshot()).toMatchObject({ hits: 3, misses: 1, writes: 3 })
  })

  it('is one store for all processes', async () => {
    const [one, other] = [redisStore({ client }), redisStore({ client: await connect(server.port) })]
    await one.set('a', value(1), life)
    expect((await other.get('a'))!.kept).toEqual(value(1))
    await other.delete('a')
    expect(await one.get('a')).toBeUndefined()
  })

  it('does not keep an answer that was overtaken by one that was asked for later, nor one from before a delete', async () => {
    const store = redisStore({ client })
    await store.set('a', value('new'), life)
    await store.set('a', value('old'), { ...life, tookMs: 500 })
    expect((await store.get('a'))!.kept).toEqual(value('new'))
    await store.delete('a')
    await store.set('a', value('from before'), { ...life, tookMs: 500 })
    expect(await store.get('a')).toBeUndefined()
    await serverTime(1)
    await store.set('a', value('from after'), life)
    expect((await store.get('a'))!.kept).toEqual(value('from after'))
    expect(store.snapshot()).toMatchObject({ late: 2 })
  })

  it('still knows what is too old when the copy itself has run out', async () => {
    const store = redisStore({ client })
    await store.set('a', value('short'), { ...life, keepMs: 1 })
    await serverTime(3)
    expect(await store.get('a')).toBeUndefined()
    await store.set('a', value('older than that'), { ...life, tookMs: 500 })
    expect(await store.get('a')).toBeUndefined()
  })

  it('takes no room for ever', async () => {
    const store = redisStore({ client, rememberMs: 100, prefix: 'p:' })
    await store.set('a', value(1), { ...life, keepMs: 200 })
    const left = await client.pttl('p:a')
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(300)
    await store.delete('a')
    expect(await client.pttl('p:a')).toBeLessThanOrEqual(100)
  })

  it('keeps nothing that is too long, and finds nothing where it cannot read', async () => {
    const store = redisStore({ client, maxLength: 50, prefix: 'p:' })
    await store.set('a', value('x'.repeat(50)), life)
    expect(await store.get('a')).toBeUndefined()
    await store.set('b', value(1), life)
    await client.hset('p:b', 'value', '{broken')
    expect(await store.get('b')).toBeUndefined()
    expect(store.snapshot()).toMatchObject({ tooLong: 1, garbled: 1, misses: 2 })
  })

  it('runs after the server has lost its scripts', async () => {
    const store = redisStore({ client })
    await store.set('a', value(1), life)
    await client.script('FLUSH')
    expect((await store.get('a'))!.kept).toEqual(value(1))
  })

  it('lets two processes share a cache, and a fallback answer from what another one kept', async () => {
    const second = await connect(server.port)
    let calls = 0
    const make = (connection: Redis) =>
      stale({
        key: () => 'page',
        store: redisStore({ client: connection }),
        freshMs: 60_000,
        storeTimeoutMs: 5_000,
      })(async () => `page ${++calls}`)
    const [one, other] = [make(client), make(second)]
    expect(await one()).toBe('page 1')
    // Nobody waits for a writing, so it may still be under way.
    while ((await client.exists('spillway:copy:page')) === 0);
    expect(await other()).toBe('page 1')
    const store = redisStore({ client: second })
    const failing = fallback({ store, key: () => 'page', storeTimeoutMs: 5_000 })(
      async (): Promise<string> => {
        throw new Error('down')
      },
    )
    expect(await failing()).toBe('page 1')
    expect(calls).toBe(1)
  })

  it('costs a call next to nothing while Redis is away, and is used again when it is back', async () => {
    const own = await startRedis()
    const connection = await connect(own.port)
    const store = redisStore({ client: connection })
    let calls = 0
    const cache = stale({ key: () => 'a', store, freshMs: 60_000, storePauseMs: 0, storeTimeoutMs: 5_000 })
    const call = cache(async () => ++calls)
    const lost = new Promise(resolve => connection.once('close', resolve))
    process.kill(own.pid, 'SIGKILL')
    await lost
    expect(await call()).toBe(1)
    expect(await call()).toBe(2)
    expect(cache.snapshot().storeFailures).toBeGreaterThanOrEqual(2)
    await own.restart()
    while (connection.status !== 'ready') await new Promise(resolve => connection.once('ready', resolve))
    expect(await call()).toBe(3)
    while ((await connection.exists('spillway:copy:a')) === 0);
    expect(await call()).toBe(3)
    connection.disconnect()
    await own.stop()
  })
})

describe('redisSwitches', () => {
  const two = () =>
    [switches({ reviews: { levels: 2 }, ads: {} }), switches({ reviews: { levels: 2 }, ads: {} })] as const

  it('switch every process', async () => {
    const [here, there] = two()
    using one = redisSwitches({ client, switches: here, pollMs: 60_000 })
    using other = redisSwitches({ client: await connect(server.port), switches: there, pollMs: 60_000 })
    await one.set('reviews', { level: 2, percent: 100, criticality: 'critical-plus', ttlMs: 60_000 })
    expect(here.level('reviews')).toBe(2)
    await other.refresh()
    expect(there.level('reviews')).toBe(2)
    const { expiresInMs, source } = there.snapshot().reviews!
    expect(source).toBe('manual')
    expect(expiresInMs).toBeGreaterThan(0)
    expect(expiresInMs).toBeLessThanOrEqual(60_000)
    await other.clear('reviews')
    await one.refresh()
    expect(here.isOn('reviews')).toBe(true)
  })

  it('look again by themselves', async () => {
    const [here, there] = two()
    using one = redisSwitches({ client, switches: here, pollMs: 60_000 })
    using other = redisSwitches({ client, switches: there, pollMs: 10 })
    await one.set('ads', { level: 1, ttlMs: Infinity })
    while (there.isOn('ads')) await new Promise(resolve => setImmediate(resolve))
    expect(other.snapshot().polls).toBeGreaterThan(1)
    expect(there.snapshot().ads).toMatchObject({ expiresInMs: Infinity })
    await one.clear('ads')
    while (!there.isOn('ads')) await new Promise(resolve => setImmediate(resolve))
  })

  it('end when their time is over, also on the server', async () => {
    const [here, there] = two()
    using one = redisSwitches({ client, switches: here, pollMs: 60_000 })
    await one.set('ads', { level: 1, ttlMs: 20 })
    await serverTime(21)
    using other = redisSwitches({ client, switches: there, pollMs: 60_000 })
    await other.refresh()
    expect(there.isOn('ads')).toBe(true)
    expect(await client.hlen('spillway:switches')).toBe(0)
  })

  it('leave alone what was set in the process until something changes in Redis', async () => {
    const [here, there] = two()
    using one = redisSwitches({ client, switches: here, pollMs: 60_000 })
    using other = redisSwitches({ client, switches: there, pollMs: 60_000 })
    await one.set('ads', { level: 1 })
    await other.refresh()
    there.set('ads', { level: 0 })
    there.set('reviews', { level: 1 })
    await other.refresh()
    expect([there.isOn('ads'), there.level('reviews')]).toEqual([true, 1])
    await one.set('ads', { level: 1, percent: 99 })
    await other.refresh()
    expect(there.snapshot().ads).toMatchObject({ level: 1, percent: 99 })
  })

  it('ignore what makes no sense, and names that are not theirs', async () => {
    const [here] = two()
    await client.hset(
      'spillway:switches',
      'reviews',
      '0 {"level":9}',
      'ads',
      'nonsense',
      'elsewhere',
      '0 {"level":1}',
    )
    using one = redisSwitches({ client, switches: here, pollMs: 60_000 })
    await one.refresh()
    expect([here.isOn('reviews'), here.isOn('ads')]).toEqual([true, true])
  })

  it('keep what they know while Redis is away', async () => {
    const own = await startRedis()
    const connection = await connect(own.port)
    const [here] = two()
    using one = redisSwitches({ client: connection, switches: here, pollMs: 60_000 })
    await one.set('ads', { level: 1 })
    const lost = new Promise(resolve => connection.once('close', resolve))
    process.kill(own.pid, 'SIGKILL')
    await lost
    await expect(one.refresh()).rejects.toThrow()
    expect(here.isOn('ads')).toBe(false)
    expect(one.snapshot()).toMatchObject({ failures: 1 })
    await own.restart()
    while (connection.status !== 'ready') await new Promise(resolve => connection.once('ready', resolve))
    // The new server knows of no settings, so what came from the old one is over.
    await one.refresh()
    expect(here.isOn('ads')).toBe(true)
    connection.disconnect()
    await own.stop()
  })
})

it('a store in memory and one in Redis tell the same story', async () => {
  const [memory, remote] = [memoryStore(), redisStore({ client })]
  const clock = createContext().clock
  for (const tookMs of [100, 50, 80, 10]) {
    const kept = value(tookMs)
    memory.set('a', kept, { ...life, tookMs }, clock.now())
    await remote.set('a', kept, { ...life, tookMs })
    expect((await remote.get('a'))!.kept).toEqual(memory.get('a', clock.now())!.kept)
  }
})
