/** One line gives a call by ioredis, fetch, undici or grpc-js its quota, and the call is really over when it ends. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { createContext, isRejection, openContext, systemClock, withContext } from 'spillway'
import { quotas } from 'spillway/timeout'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningCatalog, runCatalog } from '../grpc/running.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const QUOTA_MS = 700
/** Far more than any of this takes, on any machine. */
const LIFETIME_MS = 60_000
const quota = quotas({ redis: QUOTA_MS, http: QUOTA_MS, grpc: QUOTA_MS }, { reserveMs: 5, minUsefulMs: 10 })

/** A refusal that comes when the time is up, and neither before nor when the whole call would have ended. */
async function timesOut(call: () => Promise<unknown>): Promise<void> {
  const begun = performance.now()
  const error = await call().then(
    () => undefined,
    error => error,
  )
  expect(isRejection(error, 'deadline-exceeded')).toBe(true)
  const tookMs = performance.now() - begun
  expect(tookMs).toBeGreaterThan(QUOTA_MS - 5)
  expect(tookMs).toBeLessThan(LIFETIME_MS / 2)
}

const within = <T>(timeoutMs: number, run: () => T): T => withContext(createContext({ timeoutMs }), run)

describe('ioredis', () => {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.port)
    await redis.set('name', 'lamp')
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })

  it('answers in its quota, and is given up when a Redis that has stopped does not', async () => {
    expect(await within(LIFETIME_MS, () => quota.redis.run(() => redis.get('name')))).toBe('lamp')
    process.kill(server.pid, 'SIGSTOP')
    try {
      await timesOut(() => within(LIFETIME_MS, () => quota.redis.run(() => redis.get('name'))))
    } finally {
      process.kill(server.pid, 'SIGCONT')
    }
    expect(await quota.redis.run(() => redis.get('name'))).toBe('lamp')
    expect(systemClock.armed).toBe(0)
  })

  it('takes it as the timeout of a command that waits in Redis', async () => {
    const begun = performance.now()
    const seconds = within(300, () => quota.redis.ms()) / 1_000
    expect(await redis.blpop('an empty list', seconds)).toBe(null)
    expect(seconds).toBeLessThanOrEqual(0.295)
    expect(performance.now() - begun).toBeGreaterThan(seconds * 1_000 - 50)
  })
})

describe.each([
  ['the global fetch', async (url: string, signal: AbortSignal) => (await fetch(url, { signal })).text()],
  ['undici', async (url: string, signal: AbortSignal) => (await request(url, { signal })).body.text()],
])('%s', (_name, get) => {
  let closed = 0
  const server = createServer((incoming, response) => {
    response.on('close', () => {
      if (!response.writableFinished) closed++
    })
    if (incoming.url === '/head') response.write('the beginning')
    else if (incoming.url !== '/hang') response.end('lamp')
  })
  let url = ''
  beforeAll(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })

  it.each(['/hang', '/head'])('is closed when the quota of %s ends', async path => {
    expect(await quota.http.run(({ signal }) => get(url, signal))).toBe('lamp')
    const before = closed
    await timesOut(() => within(LIFETIME_MS, () => quota.http.run(({ signal }) => get(url + path, signal))))
    while (closed === before) await new Promise(resolve => setTimeout(resolve, 2))
    expect(systemClock.armed).toBe(0)
  })

  it('is closed when the call that it is part of is cancelled', async () => {
    const { context, cancel, close } = openContext()
    const before = closed
    const answer = quota.http.run(({ signal }) => get(`${url}/head`, signal), context)
    answer.catch(() => undefined)
    await once(server, 'request')
    cancel()
    await expect(answer).rejects.toSatisfy(error => isRejection(error, 'cancelled'))
    while (closed === before) await new Promise(resolve => setTimeout(resolve, 2))
    close()
  })
})

describe('a stock client of grpc-js', () => {
  let catalog: RunningCatalog
  let cancelled = 0
  const deadlines: number[] = []
  beforeAll(async () => {
    catalog = await runCatalog({
      getItem(call, callback) {
        deadlines.push(Number(call.getDeadline()) - Date.now())
        call.on('cancelled', () => cancelled++)
        if (call.request.id === 1) callback(null, { id: 1, name: 'lamp' })
      },
    })
  })
  afterAll(() => catalog.stop())

  const get = (id: number): Promise<{ code?: number; name?: string }> =>
    new Promise(resolve => {
      const options = { deadline: quota.grpc.deadline() }
      catalog.generated.getItem(
        { id },
        options as never,
        ((error: any, item: any) => resolve(error ?? item)) as never,
      )
    })

  it('tells the server what is left, and is cancelled there when it is over', async () => {
    expect(await within(LIFETIME_MS, () => get(1))).toMatchObject({ name: 'lamp' })
    expect(await within(300, () => get(2))).toMatchObject({ code: 4 })
    expect(deadlines[0]).toBeLessThanOrEqual(QUOTA_MS)
    expect(deadlines[1]).toBeLessThanOrEqual(295)
    while (cancelled === 0) await new Promise(resolve => setTimeout(resolve, 2))
  })

  it('is not called at all with too little time left', () => {
    expect(() => within(12, () => quota.grpc.deadline())).toThrow('[deadline-exceeded]')
    expect(deadlines).toHaveLength(2)
  })
})
