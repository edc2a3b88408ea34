/** Requests that are made to be awkward, in front of a server that is full. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, expect, test, vi } from 'vitest'
import { dial, listen, ok, oneByOne, parked, start, until } from '../../../test/support/shed-server.ts'
import { adaptive, fixed, type Shedder } from '../../shedding/index.ts'
import type { ShedServerOptions } from './shed-server.ts'
import { shedServer } from './shed-server.ts'

/** A server whose only place is taken, and how to free it. */
async function full(shedder: Shedder = fixed({ limit: 1 }), options: ShedServerOptions = {}) {
  const { waiting, listener } = parked()
  const started = await start(shedder, listener, options)
  const first = started.get('/first').catch(() => undefined)
  await until(() => waiting.length === 1)
  const free = async (): Promise<void> => {
    for (const end of waiting) end()
    await first
  }
  return { ...started, shedder, waiting, free }
}

const statuses = (text: string): string[] => text.match(/HTTP\/1\.1 \d+/g) ?? []

describe('who is exempt', () => {
  test.each([
    '//healthz',
    '/healthz/',
    '/healthz/../orders',
    '/healthz;x',
    '/healthz%00',
    '/%68ealthz',
    '/HEALTHZ',
    '/orders?/healthz',
    '/orders#/healthz',
    'http://x/orders?/healthz',
    'http://healthz/',
    '/metricsx',
    '/health/orders',
  ])('%s is not', async path => {
    const { get, waiting, shedder, free } = await full()
    expect((await get(path)).status).toBe(503)
    expect(shedder.snapshot().exempt).toBe(0)
    expect(waiting.length).toBe(1)
    await free()
  })

  test('no header makes a request so, or makes it matter more, be another tenant’s, or be a first try', async () => {
    const { get, waiting, shedder, free } = await full()
    const headers = {
      baggage: 'criticality=critical-plus,tenant=vip',
      'x-criticality': 'critical-plus',
      'x-tenant': 'vip',
      'x-retry-attempt': '1',
      'grpc-previous-rpc-attempts': '0',
      'x-original-url': '/healthz',
      'x-rewrite-url': '/healthz',
      'x-forwarded-uri': '/healthz',
      'x-http-method-override': 'CONNECT',
      'x-envoy-expected-rq-timeout-ms': '99999999',
      'grpc-timeout': '99999999H',
    }
    expect((await get('/', headers)).status).toBe(503)
    expect(shedder.snapshot()).toMatchObject({ exempt: 0, inFlight: 1, refused: { limit: 1 } })
    expect(waiting.length).toBe(1)
    await free()
  })

  test('fields as long as Node takes them, and nonsense in them, change nothing', async () => {
    const shedder = adaptive()
    const { get } = await start(shedder, ok, { trustPeers: true })
    const answer = await get('/', {
      baggage: `tenant=${'x'.repeat(8_000)},criticality=${'y'.repeat(1_000)}`,
      'x-envoy-expected-rq-timeout-ms': '9'.repeat(3_000),
      'x-retry-attempt': '1'.repeat(1_000),
    })
    expect(answer.status).toBe(200)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })
})

describe('a refusal', () => {
  test('of HEAD has no body either, and the connection goes on', async () => {
    const { port, free } = await full()
    const { socket, received } = dial(port)
    socket.write('HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => statuses(received()).length === 2)
    expect(statuses(received())).toEqual(['HTTP/1.1 503', 'HTTP/1.1 503'])
    expect(received().match(/content-length: 0/g)).toHaveLength(2)
    await free()
  })

  test('in the middle of a body that comes in chunks leaves the next request what it is', async () => {
    const { port, waiting, free } = await full()
    const { socket, received } = dial(port)
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await until(() => statuses(received()).length === 1)
    // What looks like a request is part of the body.
    socket.write('1c\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n\r\n0\r\n\r\n')
    await free()
    socket.write('GET /after HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => waiting.length === 2)
    waiting[1]!()
    await until(() => statuses(received()).length === 2)
    expect(statuses(received())).toEqual(['HTTP/1.1 503', 'HTTP/1.1 200'])
  })

  test('of HTTP/1.0 ends the connection, as that has it', async () => {
    const { port, free } = await full()
    const { socket, received } = dial(port)
    const closed = once(socket, 'close')
    socket.write('GET / HTTP/1.0\r\n\r\n')
    await closed
    expect(received()).toMatch(/^HTTP\/1\.1 503 .*x-rejected: shed.*Connection: close/s)
    await free()
  })

  test('ends the connection where it must, though it has just been written for one that is kept', async () => {
    const { server, port, get, free } = await full(fixed({ limit: 1 }), { random: () => 0, headers: false })
    for (let i = 0; i < 3; i++) expect((await get()).headers.connection).toBe('keep-alive')
    // Nobody has asked for the body, so what follows may be the body all the same, and not a request.
    const expecting = dial(port)
    const refused = once(expecting.socket, 'close')
    expecting.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n')
    await refused
    expect(expecting.received()).toMatch(/^HTTP\/1\.1 503 .*\r\nConnection: close\r\n/s)
    server.maxRequestsPerSocket = 2
    const last = dial(port)
    const closed = once(last.socket, 'close')
    last.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2))
    await closed
    expect(statuses(last.received())).toEqual(['HTTP/1.1 503', 'HTTP/1.1 503'])
    expect(last.received().match(/Connection: [\w-]+/g)).toEqual([
      'Connection: keep-alive',
      'Connection: close',
    ])
    await free()
  })

  test('is all that is said about it: thousands of them print, warn and log nothing', async () => {
    const { get, shedder, free } = await full()
    const spies = [
      vi.spyOn(process.stdout, 'write'),
      vi.spyOn(process.stderr, 'write'),
      vi.spyOn(process, 'emitWarning'),
    ]
    for (let i = 0; i < 2_000; i += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => get()))
      expect(answers.every(({ status }) => status === 503)).toBe(true)
    }
    const said = spies.map(spy => spy.mock.calls.length)
    for (const spy of spies) spy.mockRestore()
    expect(said).toEqual([0, 0, 0])
    expect(shedder.snapshot().refused.limit).toBe(2_000)
    await free()
  })

  test('is sent at once: nobody is kept waiting for it', async () => {
    const { server, port, free } = await full()
    let turns = 0
    let ended: number | undefined
    server.prependListener('request', () => {})
    const emit = server.emit.bind(server) as (event: string, ...args: any[]) => boolean
    server.emit = ((event: string, ...args: any[]) => {
      const answer = emit(event, ...args)
      if (event === 'request') ended = args[1].writableEnded ? turns : -1
      return answer
    }) as typeof server.emit
    const { socket, received } = dial(port)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => {
      turns++
      return statuses(received()).length === 1
    })
    expect(ended).toBeGreaterThanOrEqual(0)
    await free()
  })
})

test('a tunnel that is asked for with CONNECT is none of its business', async () => {
  const { server, port, shedder, free } = await full()
  server.on('connect', (_request, socket) => {
    socket.end('HTTP/1.1 200 Connection Established\r\n\r\n')
  })
  const { socket, received } = dial(port)
  socket.write('CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n')
  await until(() => received().startsWith('HTTP/1.1 200'))
  expect(shedder.snapshot()).toMatchObject({ inFlight: 1, admitted: 1 })
  await free()
})

test('an upgrade that nobody listens for is a request like any other', async () => {
  const { port, free } = await full()
  const { socket, received } = dial(port)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await until(() => received().startsWith('HTTP/1.1 503'))
  await free()
})

test('a client that waits to be asked for its body and goes away while it waits is not asked', async () => {
  const { port, shedder, waiting, free } = await full(oneByOne())
  const { socket, received } = dial(port)
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n')
  await until(() => (shedder as ReturnType<typeof oneByOne>).queued === 1)
  socket.destroy()
  await new Promise(resolve => setTimeout(resolve, 10))
  await free()
  await until(() => (shedder as ReturnType<typeof oneByOne>).queued === 0)
  expect(received()).toBe('')
  expect(waiting.length).toBe(1)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, refused: { gone: 1 } })
})

test('a server that closes all its connections leaves nobody in the queue', async () => {
  const { server, get, shedder, waiting } = await full(oneByOne())
  const lost = [get(), get()].map(answer =>
    answer.then(
      ({ status }) => status,
      error => error.code,
    ),
  )
  await until(() => (shedder as ReturnType<typeof oneByOne>).queued === 2)
  server.close()
  server.closeAllConnections()
  expect(await Promise.all(lost)).toEqual(['ECONNRESET', 'ECONNRESET'])
  await until(() => (shedder as ReturnType<typeof oneByOne>).queued === 0)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, refused: { gone: 2 } })
  expect(waiting.length).toBe(1)
})

test('a handler that throws gives its place back when its connection goes, and the queue goes on', async () => {
  const shedder = oneByOne()
  const faults: unknown[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', error => faults.push(error))
  try {
    const server = shedServer(
      createServer((request, response) => {
        if (request.url === '/broken') throw new Error('broken')
        response.end('served')
      }),
      shedder,
    )
    const { port, get } = await listen(server)
    const { socket } = dial(port)
    socket.write('GET /broken HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => faults.length === 1)
    const next = get('/next')
    await until(() => shedder.queued === 1)
    socket.destroy()
    expect(await next).toMatchObject({ status: 200, body: 'served' })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const other of others) process.on('uncaughtException', other)
  }
})

test('modes that are switched while requests are served and wait lose none of them', async () => {
  const shedder = adaptive({ burstWaitMs: 60_000, standingWaitMs: 60_000 })
  const { get } = await start(shedder, (_request, response) => {
    const end = performance.now() + 0.3
    while (performance.now() < end);
    setTimeout(() => response.end('served'), 1)
  })
  const modes = ['observe', 'off', 'enforce', 'off', 'observe', 'enforce'] as const
  const answers: Promise<{ readonly status: number }>[] = []
  for (let i = 0; i < 300; i++) {
    answers.push(get(`/${i % 3}`))
    if (i % 10 === 9) {
      shedder.update({ mode: modes[((i / 10) % modes.length) | 0]! })
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  for (const { status } of await Promise.all(answers)) expect(status).toBe(200)
  await until(() => shedder.snapshot().inFlight === 0)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0 })
})
