import { createServer, IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import express5 from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection, type Running, running } from '../../../test/support/http.ts'
import { chain } from '../../core/chain.ts'
import { protect } from './index.ts'

const express4: typeof express5 = createRequire(import.meta.url)('express4')

let server: Running
let connection: RawConnection
afterEach(async () => {
  connection.close()
  await server.stop()
})

async function open(listener: Parameters<typeof running>[0]): Promise<RawConnection> {
  server = await running(listener)
  connection = await RawConnection.open(server.port)
  return connection
}

const fields = ['res', 'next', 'baseUrl', 'originalUrl', '_parsedUrl', 'params', 'route']

describe.each([
  ['express 5', express5],
  ['express 4', express4],
])('the requests of %s', (_version, express) => {
  it('have all the fields of express from the second on, before it sees them, and no others', async () => {
    const app = express()
    const seen: string[][] = []
    app.use(protect(chain()), express.json())
    app.get('/a/:id', (request, response) => {
      response.json([request.params, request.query, request.baseUrl, request.originalUrl, request.url])
    })
    const client = await open((request, response) => {
      seen.push(Object.keys(request))
      app(request, response)
    })
    for (let i = 0; i < 2; i++) {
      const { body } = await client.ask('GET', '/a/b?c=d').answer()
      expect(JSON.parse(body)).toEqual([{ id: 'b' }, { c: 'd' }, '', '/a/b?c=d', '/a/b?c=d'])
    }
    expect(seen[1]!.filter(key => !seen[0]!.includes(key))).toEqual(fields)
  })

  it('keep their state in routers within routers, and of a request that nothing matches', async () => {
    const app = express()
    app.use(protect(chain()))
    const inner = express.Router({ mergeParams: true })
    inner.get('/:two', (request, response) => {
      response.json([request.params, request.baseUrl, request.path, response.locals])
    })
    app.use('/in/:one', inner)
    const client = await open(app)
    for (let i = 0; i < 2; i++) {
      const { body } = await client.ask('GET', '/in/1/2').answer()
      expect(JSON.parse(body)).toEqual([{ one: '1', two: '2' }, '/in/1', '/2', {}])
      expect((await client.ask('GET', '/nowhere').answer()).status).toBe(404)
    }
  })
})

it('does nothing where an application, or a class of its own for requests, has one of the fields', async () => {
  const app = express5()
  app.use(protect(chain()))
  app.get('/', (request, response) => void response.json([request.originalUrl, response.locals]))
  Object.assign(app.response, { locals: { shared: true } })
  const client = await open(app)
  for (let i = 0; i < 2; i++) expect((await client.ask('GET').answer()).body).toBe('["/",{"shared":true}]')
  connection.close()
  await server.stop()

  class Fixed extends IncomingMessage {
    get route(): string {
      return 'fixed'
    }
  }
  const other = express5()
  other.use(protect(chain()))
  other.get('/', (request, response) => void response.json(request.originalUrl))
  const fixed = await open(createServer({ IncomingMessage: Fixed }, other))
  for (let i = 0; i < 3; i++) expect((await fixed.ask('GET').answer()).body).toBe('"/"')
})

it('leaves the requests of other servers alone', async () => {
  protect(chain())
  const seen: string[][] = []
  const client = await open((request, response) => {
    seen.push(Object.keys(request))
    response.end()
  })
  for (let i = 0; i < 2; i++) await client.ask('GET').answer()
  for (const field of fields) expect(seen[1]).not.toContain(field)
})
