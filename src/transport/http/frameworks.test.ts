/** Frameworks as they are, behind the intake: what they see of requests that are let in, and nothing of the others. */
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import { dial, listen, oneByOne, until } from '../../../test/support/shed-server.ts'
import { fixed, type Shedder } from '../../shedding/index.ts'
import { shedServer } from './shed-server.ts'

const express4: typeof express = createRequire(import.meta.url)('express4')

/** What a framework is asked to do, the same for each. */
interface App {
  readonly server: Server
  /** Every request that it has seen anything of, before routing. */
  readonly seen: string[]
  /** How many bodies it has parsed. */
  readonly parsed: () => number
  /** Answers those that wait at /parked. */
  readonly release: () => void
}

type Make = (shedder: Shedder) => Promise<App>

const frameworks: Readonly<Record<string, Make>> = {
  'express 5': async shedder => expressApp(shedder, express),
  'express 4': async shedder => expressApp(shedder, express4),

  async fastify(shedder) {
    const seen: string[] = []
    let parsed = 0
    const waiting: (() => void)[] = []
    const app = fastify({
      serverFactory: handler => shedServer(createServer(handler as RequestListener), shedder),
    })
    app.addHook('onRequest', async request => {
      seen.push(request.url)
    })
    app.addHook('preValidation', async request => {
      if (request.body !== undefined) parsed++
    })
    app.get('/parked', () => new Promise(resolve => waiting.push(() => resolve('parked'))))
    app.get('/broken', async () => {
      throw new Error('broken')
    })
    app.get('/stream', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.raw.write('data: 1\n\n')
    })
    app.post<{ Body: { a: number; b: number } }>('/sum', async ({ body }) => ({ sum: body.a + body.b }))
    await app.ready()
    return { server: app.server, seen, parsed: () => parsed, release: () => releaseAll(waiting) }
  },

  async koa(shedder) {
    const seen: string[] = []
    let parsed = 0
    const waiting: (() => void)[] = []
    const app = new Koa()
    app.silent = true
    app.use(async ctx => {
      seen.push(ctx.url)
      if (ctx.path === '/parked') {
        await new Promise<void>(resolve => waiting.push(resolve))
        ctx.body = 'parked'
      } else if (ctx.path === '/broken') throw new Error('broken')
      else if (ctx.path === '/stream') {
        ctx.respond = false
        ctx.res.writeHead(200, { 'content-type': 'text/event-stream' })
        ctx.res.write('data: 1\n\n')
      } else if (ctx.path === '/sum') {
        let text = ''
        for await (const chunk of ctx.req) text += chunk
        parsed++
        const body = JSON.parse(text)
        ctx.body = { sum: body.a + body.b }
      }
    })
    const server = shedServer(createServer(app.callback()), shedder)
    return { server, seen, parsed: () => parsed, release: () => releaseAll(waiting) }
  },
}

function expressApp(shedder: Shedder, framework: typeof express): App {
  const seen: string[] = []
  let parsed = 0
  const waiting: (() => void)[] = []
  const app = framework()
  app.set('env', 'test')
  app.use((request, _response, next) => {
    seen.push(request.url)
    next()
  })
  app.use(framework.json())
  app.get('/parked', (_request, response) => {
    waiting.push(() => response.send('parked'))
  })
  app.get('/broken', () => {
    throw new Error('broken')
  })
  app.get('/stream', (_request, response) => {
    response.type('text/event-stream').write('data: 1\n\n')
  })
  app.post('/sum', (request, response) => {
    parsed++
    response.json({ sum: request.body.a + request.body.b })
  })
  const server = shedServer(createServer(app), shedder)
  return { server, seen, parsed: () => parsed, release: () => releaseAll(waiting) }
}

function releaseAll(waiting: (() => void)[]): void {
  for (const release of waiting.splice(0)) release()
}

const json = { 'content-type': 'application/json' }

describe.each(Object.entries(frameworks))('%s', (_name, make) => {
  test('routes, parses and fails as ever, and every request is over when it is answered', async () => {
    const shedder = fixed({ limit: 10 })
    const app = await make(shedder)
    const { get } = await listen(app.server)
    expect(JSON.parse((await get('/sum', json, 'POST', '{"a":2,"b":3}')).body)).toEqual({ sum: 5 })
    expect((await get('/nowhere')).status).toBe(404)
    expect((await get('/broken')).status).toBe(500)
    expect((await get('/sum', json, 'POST', '{"a":')).status).toBeGreaterThanOrEqual(400)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 4 })
    expect(app.seen).toEqual(['/sum', '/nowhere', '/broken', '/sum'])
  })

  test('what is refused it never hears of: no route, no body', async () => {
    const shedder = fixed({ limit: 1 })
    const app = await make(shedder)
    const { get } = await listen(app.server)
    const first = get('/parked')
    await until(() => app.seen.length === 1)
    const refused = await get('/sum', json, 'POST', JSON.stringify({ a: 1, b: 'x'.repeat(100_000) }))
    expect(refused).toMatchObject({ status: 503, body: '', headers: { 'x-rejected': 'shed' } })
    expect((await get('/healthz')).status).toBe(404)
    expect(app.seen).toEqual(['/parked', '/healthz'])
    expect(app.parsed()).toBe(0)
    await until(() => shedder.snapshot().inFlight === 1)
    app.release()
    expect(await first).toMatchObject({ status: 200, body: 'parked' })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, exempt: 1, refused: { limit: 1 } })
  })

  test('what has waited is served with its body', async () => {
    const shedder = oneByOne()
    const app = await make(shedder)
    const { get } = await listen(app.server)
    const first = get('/parked')
    await until(() => app.seen.length === 1)
    const second = get('/sum', json, 'POST', '{"a":2,"b":3}')
    await until(() => shedder.queued === 1)
    app.release()
    await first
    expect(JSON.parse((await second).body)).toEqual({ sum: 5 })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, queued: 0, admitted: 2 })
  })

  test('a stream holds nothing once its head is sent', async () => {
    const shedder = fixed({ limit: 1 })
    const app = await make(shedder)
    const { port, get } = await listen(app.server)
    const { socket, received } = dial(port)
    socket.write('GET /stream HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => received().includes('data: 1'))
    expect(shedder.snapshot().inFlight).toBe(0)
    expect((await get('/nowhere')).status).toBe(404)
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 2 })
  })

  test('a client that goes away in the middle gives its place back', async () => {
    const shedder = fixed({ limit: 1 })
    const app = await make(shedder)
    const { port, get } = await listen(app.server)
    const { socket } = dial(port)
    socket.write('GET /parked HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => app.seen.length === 1)
    socket.destroy()
    await until(() => shedder.snapshot().inFlight === 0)
    app.release()
    expect((await get('/nowhere')).status).toBe(404)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 2 })
  })
})
