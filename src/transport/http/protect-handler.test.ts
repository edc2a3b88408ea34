import { once } from 'node:events'
import { createServer } from 'node:http'
import { type ClientHttp2Session, connect, constants, createServer as createHttp2Server } from 'node:http2'
import express from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection, type Running, running } from '../../../test/support/http.ts'
import { describeProtection, noting, until } from '../../../test/support/protection.ts'
import { chain, gate } from '../../core/chain.ts'
import { deadline } from '../../timeout/index.ts'
import { errors } from '../express/index.ts'
import { contextOf, protectHandler, protectServer } from './index.ts'

describeProtection('protectHandler', (middleware, handle, options) =>
  protectHandler(middleware, handle, options),
)

describeProtection('protectServer in front of express', (middleware, handle, options) => {
  const server = protectServer(createServer(), middleware, options)
  const app = express()
  app.use(handle)
  app.use(errors())
  // After the server has been protected, and not even the first of its listeners.
  return server.on('request', () => {}).on('request', app)
})

describe('protectHandler', () => {
  let server: Running
  let connection: RawConnection
  afterEach(async () => {
    connection.close()
    await server.stop()
  })

  /** What the process hears of as an unhandled rejection. */
  async function unhandled(provoke: () => Promise<unknown>): Promise<unknown> {
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    try {
      const heard = new Promise(resolve => process.once('unhandledRejection', resolve))
      await provoke()
      return await heard
    } finally {
      for (const other of others) process.on('unhandledRejection', other)
    }
  }

  it.each([
    ['throws', () => Promise.reject(new Error('secret'))],
    [
      'throws at once',
      () => {
        throw new Error('secret')
      },
    ],
  ])('answers a bare 500 for a listener that %s, and the process hears of it', async (_how, listener) => {
    const { gate, outcomes, errors } = noting()
    server = await running(protectHandler(gate, listener))
    connection = await RawConnection.open(server.port)
    const error = await unhandled(async () => {
      const answer = await connection.ask('GET').answer()
      expect(answer.status).toBe(500)
      expect(JSON.parse(answer.body)).toEqual({
        type: 'about:blank',
        title: 'Internal Server Error',
        status: 500,
      })
    })
    expect(error).toMatchObject({ message: 'secret' })
    expect(outcomes).toEqual(['failure'])
    expect(errors[0]).toBe(error)
  })

  it('does the same for a middleware that throws, and for a caller that cannot be told', async () => {
    const broken = (): never => {
      throw new Error('broken')
    }
    server = await running(
      protectHandler(
        () => broken,
        () => {},
      ),
    )
    connection = await RawConnection.open(server.port)
    expect(
      await unhandled(async () => expect((await connection.ask('GET').answer()).status).toBe(500)),
    ).toMatchObject({ message: 'broken' })
    await server.stop()
    server = await running(protectHandler(chain(), () => {}, { caller: broken }))
    connection = await RawConnection.open(server.port)
    expect(
      await unhandled(async () => expect((await connection.ask('GET').answer()).status).toBe(500)),
    ).toMatchObject({ message: 'broken' })
  })

  it('cuts off a response that a listener fails in the middle of', async () => {
    server = await running(
      protectHandler(chain(), async (_request, response) => {
        response.write('half')
        throw new Error('in the middle')
      }),
    )
    connection = await RawConnection.open(server.port)
    await unhandled(async () => {
      connection.ask('GET')
      await connection.closed
    })
    await expect(connection.answer()).rejects.toThrow('The connection closed')
  })

  it('refuses what makes no sense', () => {
    const listener = (): void => {}
    expect(() => protectHandler(chain(), undefined as never)).toThrow(
      'Expected `listener` to be a function, got undefined',
    )
    expect(() => protectHandler('chain' as never, listener)).toThrow(
      'Expected `middleware` to be a function, got "chain"',
    )
    expect(() => protectHandler(chain(), listener, { timeoutMs: -1 })).toThrow(
      'Expected `timeoutMs` to be a number above 0, got -1',
    )
    expect(() => protectServer(createServer(), chain(), { trust: true } as never)).toThrow(
      'has no option `trust`',
    )
  })
})

describe('protectHandler on HTTP/2, where all streams have one socket', () => {
  let server: Running
  let session: ClientHttp2Session
  afterEach(async () => {
    session.destroy()
    await server.stop()
  })

  async function open(listener: (request: any, response: any) => void): Promise<void> {
    const http2 = createHttp2Server(listener)
    server = await running(Object.assign(http2, { closeAllConnections: () => session.destroy() }) as never)
    session = connect(server.url)
  }

  const ask = (path: string) => {
    const stream = session.request({ ':path': path }).setEncoding('utf8')
    return { stream, head: once(stream, 'response'), body: stream.toArray().then(parts => parts.join('')) }
  }

  it('ends each request by itself: not with the first of them, and as cancelled when it is given up', async () => {
    const { gate, outcomes } = noting()
    const held = new Map<string, () => void>()
    await open(
      protectHandler(gate, (request, response) => {
        held.set(request.url!, () => response.end(`ended: ${contextOf(request).ended}`))
      }),
    )
    const first = ask('/first')
    const second = ask('/second')
    const third = ask('/third')
    third.stream.on('error', () => {})
    third.head.catch(() => {})
    third.body.catch(() => {})
    await until(() => held.size === 3)
    held.get('/first')!()
    expect(await first.body).toBe('ended: false')
    await until(() => outcomes.length > 0)
    held.get('/second')!()
    expect(await second.body).toBe('ended: false')
    await until(() => outcomes.length > 1)
    expect(outcomes).toEqual(['success', 'success'])
    third.stream.close(constants.NGHTTP2_CANCEL)
    await until(() => outcomes.length > 2)
    expect(outcomes).toEqual(['success', 'success', 'cancelled'])
  })

  it('tells the gates of an inner chain before those of an outer one', async () => {
    const told: string[] = []
    const telling = (name: string) =>
      gate({ kind: 'observe', name, admit: () => undefined, settle: () => void told.push(name) })
    const inner = protectHandler(telling('inner'), (_request, response) => response.end('ok'))
    await open(protectHandler(telling('outer'), inner))
    expect(await ask('/').body).toBe('ok')
    await until(() => told.length === 2)
    expect(told).toEqual(['inner', 'outer'])
  })

  it('answers at the deadline', async () => {
    const { gate, outcomes } = noting()
    const limits = chain(gate, deadline({ totalMs: 25 }))
    await open(protectHandler(limits, () => {}))
    const { head, body } = ask('/')
    const [headers] = await head
    expect([headers[':status'], headers['content-type']]).toEqual([504, 'application/problem+json'])
    expect(JSON.parse(await body).status).toBe(504)
    await until(() => outcomes.length > 0)
    expect(outcomes).toEqual(['timeout'])
  })
})
