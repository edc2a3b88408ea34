/** What HTTP/1.1 brings along: bodies, pipelines, expectations, upgrades, clients that go, servers that close. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import express from 'express'
import { describe, expect, test } from 'vitest'
import { dial, listen, ok, oneByOne, parked, start, until } from '../../../test/support/shed-server.ts'
import { chain } from '../../core/chain.ts'
import { adaptive, fixed } from '../../shedding/index.ts'
import { contextOf } from './protect.ts'
import { protectServer } from './protect-server.ts'
import { shedServer } from './shed-server.ts'

const head = (path: string, fields: string = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`
const post = (length: number, fields: string = ''): string =>
  `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n${fields}\r\n`

describe('a request that waits', () => {
  test('keeps its body', async () => {
    const shedder = oneByOne()
    const waiting: (() => void)[] = []
    const app = express()
    app.get('/', (_request, response) => {
      waiting.push(() => response.end())
    })
    app.post('/', express.json({ limit: '1mb' }), (request, response) => {
      response.json({ length: request.body.length })
    })
    const { get } = await start(shedder, app)
    const first = get()
    await until(() => waiting.length === 1)
    const lengths = [10, 8_000, 300_000]
    const answers = lengths.map(length =>
      get('/', { 'content-type': 'application/json' }, 'POST', JSON.stringify(Array(length).fill(1))),
    )
    await until(() => shedder.queued === 3)
    // Until they have all come as far as anybody takes them.
    await new Promise(resolve => setTimeout(resolve, 20))
    waiting[0]!()
    await first
    for (const [i, answer] of (await Promise.all(answers)).entries()) {
      expect(JSON.parse(answer.body)).toEqual({ length: lengths[i] })
    }
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, admitted: 4 })
  })

  test('is not begun once its client has gone', async () => {
    const shedder = oneByOne()
    const { waiting, listener } = parked()
    const { port, get } = await start(shedder, listener)
    const first = get()
    await until(() => waiting.length === 1)
    const { socket } = dial(port)
    socket.write(head('/gone'))
    await until(() => shedder.queued === 1)
    socket.destroy()
    const last = get()
    await until(() => shedder.queued === 2)
    waiting[0]!()
    await first
    await until(() => waiting.length === 2)
    waiting[1]!()
    expect((await last).status).toBe(200)
    expect(waiting.length).toBe(2)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, refused: { gone: 1 }, admitted: 2 })
  })

  test('is not begun once its time is up, and is told so', async () => {
    const shedder = oneByOne()
    const { waiting, listener } = parked()
    const { get } = await start(shedder, listener)
    const first = get()
    await until(() => waiting.length === 1)
    const late = get('/', { 'x-envoy-expected-rq-timeout-ms': '20' })
    await until(() => shedder.queued === 1)
    await new Promise(resolve => setTimeout(resolve, 25))
    waiting[0]!()
    await first
    expect(await late).toMatchObject({
      status: 504,
      headers: { 'x-rejected': 'deadline-exceeded', 'x-should-retry': 'false' },
    })
    expect(waiting.length).toBe(1)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, refused: { late: 1 } })
  })

  test('has spent some of its time', async () => {
    const shedder = oneByOne()
    const left: number[] = []
    const waiting: (() => void)[] = []
    const server = protectServer(
      createServer((request, response) => {
        left.push(contextOf(request).remainingMs)
        waiting.push(() => response.end())
      }),
      chain(),
    )
    const { get } = await listen(shedServer(server, shedder))
    const answers = [get('/', { 'grpc-timeout': '9S' })]
    await until(() => waiting.length === 1)
    expect(left[0]).toBeGreaterThan(8_000)
    answers.push(get('/', { 'grpc-timeout': '9S' }))
    await until(() => shedder.queued === 1)
    await new Promise(resolve => setTimeout(resolve, 60))
    waiting[0]!()
    await until(() => waiting.length === 2)
    expect(left[1]).toBeLessThanOrEqual(8_945)
    expect(left[1]).toBeGreaterThan(1_000)
    waiting[1]!()
    await Promise.all(answers)
  })

  test('is served by a server that closes, and then the server is closed', async () => {
    const shedder = oneByOne()
    const { waiting, listener } = parked()
    const { server, get } = await start(shedder, listener)
    const answers = [get(), get()]
    await until(() => waiting.length === 1 && shedder.queued === 1)
    const closed = once(server, 'close')
    server.close()
    waiting[0]!()
    await until(() => waiting.length === 2)
    waiting[1]!()
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200])
    await closed
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('is let through when the shedder is switched off', async () => {
    const shedder = oneByOne()
    const { waiting, listener } = parked()
    const { get } = await start(shedder, listener)
    const answers = [get(), get(), get()]
    await until(() => waiting.length === 1 && shedder.queued === 2)
    shedder.update({ mode: 'off' })
    await until(() => waiting.length === 3)
    for (const end of waiting) end()
    await Promise.all(answers)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  })
})

describe('pipelined requests', () => {
  test('are answered in their order, refused or not', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 1 })
    const { port } = await start(shedder, listener)
    const { socket, received } = dial(port)
    socket.write(head('/a') + head('/b') + head('/c'))
    await until(() => waiting.length === 1 && shedder.snapshot().refused.limit === 2)
    expect(received()).toBe('')
    waiting[0]!()
    await until(() => received().split('HTTP/1.1 ').length === 4)
    expect(received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 503', 'HTTP/1.1 503'])
    expect(shedder.snapshot().inFlight).toBe(0)
  })

  test('wait, each for its turn', async () => {
    const shedder = oneByOne()
    const { port } = await start(shedder, (request, response) => response.end(request.url))
    const { socket, received } = dial(port)
    socket.write(head('/a') + head('/b') + head('/c'))
    await until(() => received().includes('/c'))
    expect(received().match(/^\/[abc]/gm) ?? received().match(/\/[abc]/g)).toEqual(['/a', '/b', '/c'])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 3 })
  })
})

describe('a client that waits to be asked for its body', () => {
  const expecting = 'Expect: 100-continue\r\n'

  test('is asked once it is let in', async () => {
    const shedder = oneByOne()
    const { waiting, listener } = parked()
    const { port, get } = await start(shedder, (request, response) => {
      if (request.method === 'GET') return void listener(request, response as never)
      request.on('data', chunk => response.end(`got ${chunk}`))
    })
    const first = get()
    await until(() => waiting.length === 1)
    const { socket, received } = dial(port)
    socket.write(post(4, expecting))
    await until(() => shedder.queued === 1)
    expect(received()).toBe('')
    waiting[0]!()
    await first
    await until(() => received().startsWith('HTTP/1.1 100 Continue'))
    socket.write('body')
    await until(() => received().endsWith('got body') || received().includes('got body'))
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 2 })
  })

  test('is not asked when it is refused, and nothing is left in the connection that could be taken for a request', async () => {
    const { waiting, listener } = parked()
    const { port, get } = await start(fixed({ limit: 1 }), listener)
    const first = get()
    await until(() => waiting.length === 1)
    const { socket, received } = dial(port)
    const closed = once(socket, 'close')
    socket.write(post(4, expecting))
    await closed
    expect(received()).toMatch(/^HTTP\/1\.1 503 .*\r\nx-rejected: shed\r\n/s)
    expect(received()).toMatch(/\r\nConnection: close\r\n/)
    waiting[0]!()
    await first
  })

  test('is asked by whoever the server has for that, through whatever stands around it, and counts once', async () => {
    const shedder = fixed({ limit: 5 })
    const seen: string[] = []
    const server = createServer((request, response) => {
      seen.push('request')
      request.on('data', chunk => response.end(`got ${chunk}`))
    })
    server.on('checkContinue', (request, response) => {
      seen.push('checkContinue')
      response.writeContinue()
      server.emit('request', request, response)
    })
    shedServer(server, shedder)
    protectServer(server, next => (request, context) => {
      seen.push('chain')
      return next(request, context)
    })
    const { port } = await listen(server)
    const { socket, received } = dial(port)
    socket.write(post(4, expecting))
    await until(() => received().startsWith('HTTP/1.1 100 Continue'))
    socket.write('body')
    await until(() => received().includes('got body'))
    expect(seen).toEqual(['checkContinue', 'chain', 'request'])
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })

  test('other expectations are none of its business', async () => {
    const { port } = await start(fixed({ limit: 5 }), ok)
    const { socket, received } = dial(port)
    socket.write(post(4, 'Expect: tea\r\n'))
    await until(() => received().startsWith('HTTP/1.1 417'))
  })
})

test('upgrades are left alone, however full it is', async () => {
  const { waiting, listener } = parked()
  const shedder = fixed({ limit: 1 })
  const { server, port, get } = await start(shedder, listener)
  server.on('upgrade', (_request, socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tea\r\nConnection: Upgrade\r\n\r\n')
  })
  const first = get()
  await until(() => waiting.length === 1)
  const { socket, received } = dial(port)
  socket.write(head('/', 'Connection: Upgrade\r\nUpgrade: tea\r\n'))
  await until(() => received().startsWith('HTTP/1.1 101'))
  waiting[0]!()
  await first
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
})

describe('an idle server', () => {
  test('hands requests on in the turn, and in the very call, that they came in', async () => {
    let emitting = false
    const direct: boolean[] = []
    const shedder = adaptive()
    // A machine that stood still, or this very test, may have kept the loop busy just before.
    const offered: { idle: boolean; run: boolean }[] = []
    const { offer } = shedder
    shedder.offer = (call, now, busyMs = 0) => {
      const verdict = offer.call(shedder, call, now, busyMs)
      offered.push({ idle: busyMs < 5, run: verdict === 'run' })
      return verdict
    }
    const { server, get } = await start(shedder, (_request, response) => {
      direct.push(emitting)
      response.end()
    })
    const emit = server.emit.bind(server) as (event: string, ...args: unknown[]) => boolean
    server.emit = ((event: string, ...args: unknown[]) => {
      emitting = event === 'request'
      try {
        return emit(event, ...args)
      } finally {
        emitting = false
      }
    }) as typeof server.emit
    while (offered.filter(({ idle }) => idle).length < 5) {
      await new Promise(resolve => setTimeout(resolve, 2))
      await get('/a')
    }
    expect(offered.map(({ run }) => run)).toEqual(offered.map(({ idle }) => idle))
    expect(direct).toEqual(offered.map(({ idle }) => idle))
  })

  test('says nothing of pressure', async () => {
    const { get } = await start(adaptive(), ok)
    expect((await get()).headers['x-pressure']).toBeUndefined()
  })
})

test('a handler of fastify or koa, whose function is async and whose server is made by a factory', async () => {
  const shedder = adaptive()
  const factory = (handler: (...args: any[]) => unknown) =>
    shedServer(createServer(handler as never), shedder)
  const server = factory(async (request, response) => {
    await new Promise(resolve => setTimeout(resolve, 1))
    response.writeHead(201, { 'content-type': 'text/plain' }).end(`made ${request.url}`)
  })
  const { get } = await listen(server)
  expect(await get('/x')).toMatchObject({ status: 201, body: 'made /x' })
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
})
