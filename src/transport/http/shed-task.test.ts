import { once } from 'node:events'
import { createServer, type IncomingMessage, request as send } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { listen, oneByOne, parked, start, until } from '../../../test/support/shed-server.ts'
import { chain } from '../../core/chain.ts'
import { fixed } from '../../shedding/index.ts'
import { protectServer } from './protect-server.ts'
import { shedServer } from './shed-server.ts'
import { ShedTask } from './shed-task.ts'

describe('when a request is over', () => {
  test('a stream holds nothing once its head is sent', async () => {
    const shedder = fixed({ limit: 1 })
    const { port, get } = await start(shedder, (request, response) => {
      if (request.url !== '/stream') return void response.end('served')
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
    })
    const stream = send({ port, path: '/stream' }).end()
    await once(stream, 'response')
    expect(shedder.snapshot().inFlight).toBe(0)
    expect((await get()).status).toBe(200)
    stream.destroy()
  })

  test('a client that goes away gives its place back', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 5 })
    const { port } = await start(shedder, listener)
    for (let i = 0; i < 3; i++) {
      const request = send({ port, path: '/', agent: false }).end()
      request.on('error', () => {})
      await until(() => waiting.length === i + 1)
      request.destroy()
    }
    await until(() => shedder.snapshot().inFlight === 0)
  })

  test('so do requests that wait behind others on a connection that goes away', async () => {
    const { waiting, listener } = parked()
    const shedder = fixed({ limit: 5 })
    const { port } = await start(shedder, listener)
    const socket = connect(port, '127.0.0.1')
    socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => waiting.length === 2)
    expect(shedder.snapshot().inFlight).toBe(2)
    socket.destroy()
    await until(() => shedder.snapshot().inFlight === 0)
  })

  test.each([
    [200, 'success'],
    [304, 'success'],
    [404, 'ignore'],
    [500, 'ignore'],
    [503, 'dropped'],
    [504, 'dropped'],
  ] as const)('status %d counts as %s', async (status, expected) => {
    const shedder = fixed({ limit: 5 })
    const results: string[] = []
    const { settle } = shedder
    shedder.settle = (call, result, now) => {
      results.push(result)
      settle.call(shedder, call, result, now)
    }
    const { get } = await start(shedder, (_request, response) => {
      response.statusCode = status
      response.end()
    })
    expect((await get()).status).toBe(status)
    expect(results).toEqual([expected])
  })

  test('a connection that is kept remembers none that are over', async () => {
    const closed = vi.spyOn(ShedTask.prototype, 'closed')
    const { waiting, listener } = parked()
    const { port } = await start(fixed({ limit: 5 }), (request, response) => {
      if (request.url === '/own/last') listener(request, response as never)
      else setImmediate(() => response.end('served'))
    })
    const socket = connect(port, '127.0.0.1')
    for (const name of ['a', 'b', 'c', 'last']) {
      socket.write(`GET /own/${name} HTTP/1.1\r\nHost: x\r\n\r\n`)
    }
    await until(() => waiting.length === 1)
    socket.destroy()
    // Those of other connections, which the tests before have left, are not of interest.
    const own = (): string[] =>
      (closed.mock.contexts as unknown as { request: IncomingMessage }[])
        .map(({ request }) => request.url!)
        .filter(url => url.startsWith('/own/'))
    await until(() => own().length > 0)
    expect(own()).toEqual(['/own/last'])
    closed.mockRestore()
  })

  test('a head that cannot be sent is not one that has been', async () => {
    const shedder = fixed({ limit: 1 })
    const { get } = await start(shedder, (_request, response) => {
      expect(() => response.writeHead(200, { 'bad header': '1' })).toThrow()
      expect(shedder.snapshot().inFlight).toBe(1)
      response.writeHead(200)
      expect(shedder.snapshot().inFlight).toBe(0)
      response.end('served')
    })
    expect((await get()).body).toBe('served')
  })
})

test('a request that something further out answers while it waits is neither begun nor answered again', async () => {
  const shedder = oneByOne()
  const { waiting, listener } = parked()
  const server = shedServer(createServer(listener), shedder)
  const { get } = await listen(protectServer(server, chain(), { trustPeers: true }))
  const first = get()
  await until(() => waiting.length === 1)
  const second = get('/', { 'x-envoy-expected-rq-timeout-ms': '40' })
  await until(() => shedder.queued === 1)
  expect((await second).status).toBe(504)
  waiting[0]!()
  expect((await first).status).toBe(200)
  await until(() => shedder.queued === 0)
  expect(waiting.length).toBe(1)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, refused: { gone: 1 } })
})
