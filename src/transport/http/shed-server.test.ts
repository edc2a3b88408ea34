import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer, type IncomingMessage } from 'node:http'
import express from 'express'
import { describe, expect, test } from 'vitest'
import { dial, listen, ok, parked, start, until } from '../../../test/support/shed-server.ts'
import { adaptive, fixed, type Shedder } from '../../shedding/index.ts'
import { shedServer } from './shed-server.ts'

describe('letting in', () => {
  test('a request is served as without it, and is over when its answer is sent', async () => {
    const shedder = adaptive()
    const { get } = await start(shedder, ok)
    expect(await get('/a')).toMatchObject({ status: 200, body: 'served' })
    expect(await get('/a')).toMatchObject({ status: 200, body: 'served' })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 2 })
  })

  test('express behind it routes and parses as ever', async () => {
    const app = express()
    app.use(express.json())
    app.post('/sum', (request, response) => {
      response.json({ sum: request.body.a + request.body.b })
    })
    const { get } = await start(adaptive(), app)
    const answer = await get('/sum', { 'content-type': 'application/json' }, 'POST', '{"a":2,"b":3}')
    expect(JSON.parse(answer.body)).toEqual({ sum: 5 })
    expect((await get('/nowhere')).status).toBe(404)
  })

  test('a listener that is added later stands behind it too', async () => {
    const shedder = fixed({ limit: 1 })
    const server = shedServer(createServer(), shedder)
    server.on('request', ok)
    const { get } = await listen(server)
    expect((await get()).body).toBe('served')
    expect(shedder.snapshot().admitted).toBe(1)
  })

  test('many at once, through the queue, in the context that each came in', async () => {
    const storage = new AsyncLocalStorage<string>()
    // Nobody is refused, however long the machine takes.
    const shedder = adaptive({ burstWaitMs: 60_000, standingWaitMs: 60_000 })
    const seen = new Set<string>()
    const server = createServer((request, response) => {
      const until = performance.now() + 1
      while (performance.now() < until);
      if (storage.getStore() === request.url) seen.add(request.url!)
      response.end('served')
    })
    shedServer(server, shedder, { route: () => '/' })
    // What a tracing library does: it stands around everything, with a context for each request.
    const emit = server.emit.bind(server) as (event: string, ...args: unknown[]) => boolean
    const traced = (event: string, ...args: unknown[]): boolean => {
      if (event !== 'request') return emit(event, ...args)
      return storage.run((args[0] as IncomingMessage).url!, () => emit(event, ...args))
    }
    server.emit = traced as typeof server.emit
    const { port } = await listen(server)
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => fetch(`http://127.0.0.1:${port}/${i}`)),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(200))
    expect(seen.size).toBe(40)
    await until(() => shedder.snapshot().inFlight === 0)
    expect(shedder.snapshot().admitted).toBe(40)
  })
})

describe('refusing', () => {
  test('is a 503 with the marks of the contract, on a connection that is kept', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 1 })
    const { get } = await start(shedder, listener)
    const first = get()
    await until(() => waiting.length === 1)
    const refused = await get()
    expect(refused).toMatchObject({ status: 503, body: '' })
    expect(refused.headers).toMatchObject({ 'x-rejected': 'shed', 'content-length': '0' })
    expect(refused.headers.connection).not.toBe('close')
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    const ms = Number(refused.headers['retry-after-ms'])
    expect(ms).toBeGreaterThanOrEqual(500)
    expect(ms).toBeLessThanOrEqual(1_500)
    waiting[0]!()
    expect((await first).status).toBe(200)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })

  test('sends clients away for different times', async () => {
    const { waiting, listener } = parked()
    let seed = 0
    const { get } = await start(fixed({ limit: 1 }), listener, {
      random: () => {
        seed = (seed + 0.0624) % 1
        return seed
      },
    })
    get().catch(() => {})
    await until(() => waiting.length === 1)
    const times = new Set<string>()
    for (let i = 0; i < 16; i++) times.add((await get()).headers['retry-after-ms'] as string)
    expect(times.size).toBeGreaterThan(10)
    waiting[0]!()
  })

  test('a second try of a trusted peer is told not to try again', async () => {
    const { waiting, listener } = parked()
    const { get } = await start(fixed({ limit: 1 }), listener, { trustPeers: true })
    get().catch(() => {})
    await until(() => waiting.length === 1)
    const refused = await get('/', { 'x-retry-attempt': '2' })
    expect(refused.headers).toMatchObject({ 'x-should-retry': 'false', 'x-rejected': 'shed' })
    expect(refused.headers['retry-after']).toBeUndefined()
    waiting[0]!()
  })

  test('a large body that nobody reads does not break the connection', async () => {
    const { waiting, listener } = parked()
    const { get } = await start(fixed({ limit: 1 }), listener)
    get().catch(() => {})
    await until(() => waiting.length === 1)
    for (let i = 0; i < 3; i++) {
      const answer = await get('/', { 'content-type': 'text/plain' }, 'POST', 'x'.repeat(200_000))
      expect(answer.status).toBe(503)
    }
    waiting[0]!()
  })

  test('the answers given meanwhile tell of the pressure', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 2 })
    const { get } = await start(shedder, listener)
    const held = [get(), get()]
    await until(() => waiting.length === 2)
    expect((await get()).status).toBe(503)
    waiting.shift()!()
    await Promise.any(held)
    const answer = get()
    await until(() => waiting.length === 2)
    for (const end of waiting) end()
    expect(Number((await answer).headers['x-pressure'])).toBeGreaterThan(0.5)
  })

  test('observing refuses nobody and counts who would have been', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 1, mode: 'observe' })
    const { get } = await start(shedder, listener)
    const answers = [get(), get(), get()]
    await until(() => waiting.length === 3)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 1, refused: { limit: 2 } })
    for (const end of waiting) end()
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(shedder.snapshot().inFlight).toBe(0)
  })
})

describe('exempt', () => {
  test.each(['/healthz', '/livez', '/readyz?verbose', '/metrics', '/health'])('%s', async path => {
    const shedder = fixed({ limit: 1 })
    const { waiting, listener } = parked()
    const { get } = await start(shedder, (request, response) => {
      if (request.url === '/') listener(request, response as never)
      else response.end('well')
    })
    get().catch(() => {})
    await until(() => waiting.length === 1)
    expect(await get(path)).toMatchObject({ status: 200, body: 'well' })
    expect((await get('/healthzz')).status).toBe(503)
    expect(shedder.snapshot().exempt).toBe(1)
    waiting[0]!()
  })

  test('what the option says, in place of that', async () => {
    const shedder = adaptive()
    const { get } = await start(shedder, ok, { exempt: request => request.url === '/admin' })
    await get('/admin')
    await get('/healthz')
    expect(shedder.snapshot()).toMatchObject({ exempt: 1, admitted: 1 })
  })
})

test.each(['offer', 'pressure', 'settle'] as const)(
  'a shedder whose %s fails lets requests through',
  async step => {
    const shedder = adaptive()
    let failed = 0
    shedder[step] = () => {
      failed++
      throw new Error('broken')
    }
    const { waiting, listener } = parked()
    const { port, get } = await start(shedder, (request, response) => {
      if (request.url === '/parked') listener(request, response as never)
      else response.end('served')
    })
    expect((await get()).status).toBe(200)
    // Nor does it matter to the process that somebody leaves.
    const { socket } = dial(port)
    socket.write('GET /parked HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => waiting.length === 1)
    socket.destroy()
    await until(() => failed === 2)
    expect((await get()).status).toBe(200)
  },
)

test('options are checked', () => {
  expect(() => shedServer(createServer(), {} as Shedder)).toThrow('second argument of shedServer()')
  expect(() => shedServer(createServer(), adaptive(), { routes: 1 } as object)).toThrow(
    'shedServer has no option `routes`',
  )
  expect(() => shedServer(createServer(), adaptive(), { exempt: '/' } as object)).toThrow('`exempt`')
  expect(() => shedServer(createServer(), adaptive(), { timeoutMs: -1 })).toThrow('`timeoutMs`')
})
