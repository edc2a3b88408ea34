import { createRequire } from 'node:module'
import express5 from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection, type Running, running } from '../../../test/support/http.ts'
import { describeProtection, noting, refuseMarked } from '../../../test/support/protection.ts'
import { advise } from '../../core/advice.ts'
import { currentContext } from '../../core/ambient.ts'
import { chain, gate } from '../../core/chain.ts'
import type { Context } from '../../core/context.ts'
import { Rejection } from '../../core/rejection.ts'
import { deadline } from '../../timeout/index.ts'
import { contextOf, errors, protect } from './index.ts'

// Express 4 has no types of its own here; for what is used of it, those of express 5 are right.
const express4: typeof express5 = createRequire(import.meta.url)('express4')

const versions: [string, typeof express5][] = [
  ['express 5', express5],
  ['express 4', express4],
]

for (const [version, express] of versions) {
  describeProtection(version, (middleware, handle, options) => {
    const app = express()
    app.use(protect(middleware, options))
    app.use(async (request, response, next) => {
      try {
        await handle(request, response)
      } catch (error) {
        next(error)
      }
    })
    app.use(errors())
    return app
  })
}

describe.each(versions)('protect in %s', (_version, express) => {
  let server: Running
  let connection: RawConnection
  const open = async (app: express5.Express): Promise<RawConnection> => {
    server = await running(app)
    connection = await RawConnection.open(server.port)
    return connection
  }
  afterEach(async () => {
    connection.close()
    await server.stop()
  })

  it('protects one route and leaves the others alone', async () => {
    const app = express()
    app.get('/guarded', protect(refuseMarked), (_request, response) => void response.send('guarded'))
    app.get('/open', (request, response) => void response.json(contextOf(request).deadline))
    const client = await open(app)
    const refuse = { 'x-refuse': '1' }
    expect((await client.ask('GET', '/guarded', refuse).answer()).status).toBe(503)
    expect((await client.ask('GET', '/guarded').answer()).body).toBe('guarded')
    expect(await client.ask('GET', '/open', refuse).answer()).toMatchObject({ status: 200, body: 'null' })
  })

  it('nests: a route can be bounded more tightly than the application, and both see what comes of it', async () => {
    const outer = noting()
    const inner = noting()
    const contexts: Context[] = []
    const app = express()
    app.use(protect(chain(outer.gate, deadline({ totalMs: 60_000 }))))
    app.get('/tight', protect(chain(inner.gate, deadline({ totalMs: 25 }))), request => {
      contexts.push(contextOf(request))
    })
    app.get('/loose', protect(chain(inner.gate, deadline({ totalMs: 120_000 }))), (request, response) => {
      contexts.push(contextOf(request))
      response.send('ok')
    })
    app.get('/refused', protect(chain(inner.gate, refuseMarked)), () => {})
    const client = await open(app)
    expect((await client.ask('GET', '/tight').answer()).status).toBe(504)
    expect((await client.ask('GET', '/loose').answer()).status).toBe(200)
    expect((await client.ask('GET', '/refused', { 'x-refuse': '1' }).answer()).status).toBe(503)
    while (outer.outcomes.length < 3) await new Promise(setImmediate)
    expect(inner.outcomes).toEqual(['timeout', 'success', 'refused'])
    expect(outer.outcomes).toEqual(['timeout', 'success', 'refused'])
    expect(contexts[1]!.remainingMs).toBeLessThanOrEqual(60_000)
  })

  it('keeps the current context where express reads a body', async () => {
    const app = express()
    let ambient: Context | undefined
    app.use(protect(deadline({ totalMs: 60_000 })), express.json())
    app.post('/', async (request, response) => {
      await new Promise(setImmediate)
      ambient = currentContext()
      response.json([request.body, ambient === contextOf(request)])
    })
    const client = await open(app)
    const type = { 'content-type': 'application/json', 'content-length': '7' }
    client.ask('POST', '/', type).write('{"a"')
    await new Promise(resolve => setTimeout(resolve, 5))
    expect((await client.write(':1}').answer()).body).toBe('[{"a":1},true]')
  })

  it('answers at the deadline while a body is still on its way', async () => {
    const app = express()
    app.use(protect(deadline({ totalMs: 25 })), express.json())
    app.post('/', (request, response) => void response.json(request.body))
    const client = await open(app)
    const type = { 'content-type': 'application/json', 'content-length': '7' }
    expect((await client.ask('POST', '/', type).write('{"a"').answer()).status).toBe(504)
    client.write(':1}')
    expect(await client.ask('POST', '/', type).write('{"a":1}').answer()).toMatchObject({
      status: 200,
      body: '{"a":1}',
    })
  })

  it('is not destroyed by an error that comes after the deadline: express closes the connection on those', async () => {
    const app = express()
    let failLate: (() => void) | undefined
    app.use(protect(deadline({ totalMs: 25 })))
    app.get('/hangs', (_request, response, next) => {
      failLate = () => {
        next(new Error('late'))
        response.status(200).json({ late: true })
      }
    })
    app.get('/', (_request, response) => void response.send('ok'))
    const client = await open(app)
    expect((await client.ask('GET', '/hangs').answer()).status).toBe(504)
    failLate!()
    await new Promise(setImmediate)
    expect(await client.ask('GET').answer()).toMatchObject({ status: 200, body: 'ok' })
  })

  it('leaves errors to express, and tells the gates of them', async () => {
    const { gate: note, outcomes, errors: seen } = noting()
    const failure = Object.assign(new Error('no tea'), { status: 418 })
    const app = express()
    app.use(protect(note))
    app.get('/teapot', (_request, _response, next) => next(failure))
    app.get('/broken', () => {
      throw failure
    })
    app.use(errors())
    app.use(((error, _request, response, _next) => {
      response.status(error.status).send(error.message)
    }) as express5.ErrorRequestHandler)
    const client = await open(app)
    expect(await client.ask('GET', '/teapot').answer()).toMatchObject({ status: 418, body: 'no tea' })
    expect((await client.ask('GET', '/broken').answer()).status).toBe(418)
    while (outcomes.length < 2) await new Promise(setImmediate)
    expect(outcomes).toEqual(['failure', 'failure'])
    expect(seen).toEqual([failure, failure])
  })

  it('hands what a middleware of the chain throws to the error handlers of express', async () => {
    const app = express()
    const broken = gate({
      kind: 'other',
      name: 'broken',
      admit() {
        throw new Error('broken gate')
      },
    })
    app.use(protect(broken), () => {})
    app.use(((error, _request, response, _next) => {
      response.status(500).send(error.message)
    }) as express5.ErrorRequestHandler)
    const client = await open(app)
    expect((await client.ask('GET').answer()).body).toBe('broken gate')
  })

  it('passes on the advice of a dependency, in the middle of an answer too', async () => {
    const app = express()
    app.get('/advised', (_request, _response, next) => {
      const error = new Error('secret')
      advise(error, { retry: 'never' })
      next(error)
    })
    app.get('/halfway', (_request, response, next) => {
      response.write('half')
      next(new Rejection({ reason: 'breaker-open', policy: 'p', retry: 'elsewhere' }))
    })
    app.use(errors())
    const client = await open(app)
    const answer = await client.ask('GET', '/advised').answer()
    expect(answer.status).toBe(503)
    expect(answer.headers['x-should-retry']).toBe('false')
    expect(answer.body).not.toContain('secret')
    client.ask('GET', '/halfway')
    await client.closed
  })

  it('knows the caller behind a proxy that express trusts', async () => {
    const app = express()
    app.use(protect(chain()))
    app.get('/', (request, response) => void response.json(contextOf(request).caller))
    const client = await open(app)
    const forwarded = { 'x-forwarded-for': '10.0.0.7' }
    expect((await client.ask('GET', '/', forwarded).answer()).body).toContain('127.0.0.1')
    app.set('trust proxy', true)
    expect((await client.ask('GET', '/', forwarded).answer()).body).toBe('"10.0.0.7"')
  })
})

it('refuses what makes no sense', () => {
  expect(() => protect(chain(), { timeoutMs: -1 })).toThrow(
    'Expected `timeoutMs` to be a number above 0, got -1',
  )
  expect(() => protect(chain(), { trust: true } as never)).toThrow('protect has no option `trust`')
  expect(() => protect(chain(), { caller: 'x' } as never)).toThrow('Expected `caller` to be a function')
})
