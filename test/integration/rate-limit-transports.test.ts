/** A limit in front of real servers, seen by clients that know nothing of it, and by one that keeps to it. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import express from 'express'
import { chain, type Middleware } from 'spillway'
import { errors, protect } from 'spillway/express'
import { protectFetch } from 'spillway/fetch'
import { serve } from 'spillway/grpc'
import { protectHandler, protectServer } from 'spillway/http'
import { clientKey, fixedWindow, paceByHeaders, rateLimit } from 'spillway/ratelimit'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeRetryInfo } from '../../src/transport/grpc/status-details.ts'
import type { CatalogServer } from '../grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../grpc/running.ts'
import { type Running, running } from '../support/http.ts'

type Protect = (middleware: Middleware<IncomingMessage, void>) => Server | RequestListener

const servers: [string, Protect][] = [
  [
    'protectServer',
    limit =>
      protectServer(
        createServer((_, response) => void response.end('lamp')),
        limit,
      ) as Server,
  ],
  ['protectHandler', limit => protectHandler(limit, (_, response) => void response.end('lamp'))],
  [
    'express',
    limit =>
      express()
        .use(protect(limit))
        .use((_, response) => void response.send('lamp'))
        .use(errors()),
  ],
]

let server: Running | undefined
let catalog: RunningCatalog | undefined
afterEach(async () => {
  await server?.stop()
  catalog?.stop()
  server = undefined
  catalog = undefined
})

const perCaller = () => fixedWindow({ name: 'per-caller', limit: 2, windowMs: 60_000 })

describe.each(servers)('a limit in front of %s', (_, build) => {
  it('says what is left with each answer, and refuses with 429, a problem and when to come back', async () => {
    const limit = rateLimit<IncomingMessage, void>(perCaller(), {
      key: clientKey({ proxies: 1 }),
      cost: ({ url }) => (url === '/dear' ? 3 : 1),
      retryJitterRatio: 0,
    })
    server = await running(build(chain(limit)))
    const ask = (caller: string, path = ''): Promise<Response> =>
      fetch(server!.url + path, { headers: { 'x-forwarded-for': caller } })

    const granted = await ask('203.0.113.7')
    expect([granted.status, await granted.text()]).toEqual([200, 'lamp'])
    expect(granted.headers.get('ratelimit')).toBe('"per-caller";r=1;t=60')
    expect(granted.headers.get('ratelimit-policy')).toBe('"per-caller";q=2;w=60')
    expect(granted.headers.get('retry-after')).toBeNull()
    // The same caller as an IPv6 socket shows him.
    expect((await ask('::ffff:203.0.113.7')).headers.get('ratelimit')).toBe('"per-caller";r=0;t=60')

    const refused = await ask('203.0.113.7')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('ratelimit')).toBe('"per-caller";r=0;t=60')
    expect(refused.headers.get('ratelimit-policy')).toBe('"per-caller";q=2;w=60')
    expect(refused.headers.get('retry-after')).toBe('60')
    expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(50_000)
    expect(refused.headers.get('x-rejected')).toBe('rate-limited')
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect(await refused.json()).toEqual({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'Too many requests',
      status: 429,
    })

    const never = await ask('203.0.113.8', 'dear')
    expect(never.status).toBe(429)
    expect(never.headers.get('x-should-retry')).toBe('false')
    expect(never.headers.get('retry-after')).toBeNull()
    expect((await ask('203.0.113.8')).status).toBe(200)
  })
})

describe('a limit in front of gRPC', () => {
  const ask = (): Promise<{ error: ServiceError | null; trailers: Metadata }> =>
    new Promise(resolve => {
      let failed: ServiceError | null = null
      const call = catalog!.generated.getItem({ id: 1 }, error => {
        failed = error
      })
      call.on('status', ({ metadata }) => setImmediate(() => resolve({ error: failed, trailers: metadata })))
    })

  it('refuses with RESOURCE_EXHAUSTED, RetryInfo and pushback, to a stock client', async () => {
    const limit = rateLimit(perCaller(), { key: clientKey({ proxies: 0 }), retryJitterRatio: 0 })
    const implementation = { getItem: ({ id }: { id: number }) => ({ id, name: 'lamp' }) }
    catalog = await runCatalog(serve<CatalogServer>(implementation as never, { use: chain(limit) }))

    const granted = await ask()
    expect(granted.error).toBeNull()
    expect(granted.trailers.get('ratelimit')).toEqual(['"per-caller";r=1;t=60'])
    expect(granted.trailers.get('ratelimit-policy')).toEqual(['"per-caller";q=2;w=60'])
    await ask()
    const { error, trailers } = await ask()
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED)
    expect(trailers.get('ratelimit')).toEqual(['"per-caller";r=0;t=60'])
    const pushback = Number(trailers.get('grpc-retry-pushback-ms')[0])
    expect(pushback).toBeGreaterThan(50_000)
    expect(pushback).toBeLessThanOrEqual(60_000)
    expect(decodeRetryInfo(trailers.get('grpc-status-details-bin')[0] as Buffer)).toBe(pushback)
  })
})

describe('a client', () => {
  it('that reads what the server says of its limit is refused nothing, unlike one that does not', async () => {
    const limiter = fixedWindow({ name: 'everybody', limit: 1, windowMs: 600 })
    server = await running(
      protectHandler(chain(rateLimit(limiter)), (_, response) => void response.end('lamp')),
    )
    const statuses = async (get: (url: string) => Promise<Response>): Promise<number[]> => {
      const answers: number[] = []
      for (let i = 0; i < 2; i++) answers.push((await get(server!.url)).status)
      return answers
    }
    expect(await statuses(protectFetch(chain(paceByHeaders())) as typeof fetch)).toEqual([200, 200])
    expect(limiter.snapshot().denied).toBe(0)
    limiter.reset()
    expect(await statuses(fetch)).toEqual([200, 429])
  })
})
