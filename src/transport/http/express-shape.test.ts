import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import express5 from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { type Running, running } from '../../../test/support/http.ts'
import { adaptive } from '../../shedding/index.ts'
import { shedServer } from './shed-server.ts'

const express4: typeof express5 = createRequire(import.meta.url)('express4')

const fields = ['res', 'next', 'baseUrl', 'originalUrl', '_parsedUrl', 'params', 'route']

let server: Running
afterEach(() => server.stop())

/** Asks `times` for the same, of what listens behind a shedder; the fields that each request had when it got there. */
async function ask(
  listener: RequestListener,
  { times = 2, path = '', around = (_: Server): void => undefined } = {},
): Promise<{ readonly bodies: readonly string[]; readonly seen: readonly (readonly string[])[] }> {
  const seen: string[][] = []
  const own = createServer((request, response) => {
    seen.push(Object.keys(request))
    listener(request, response)
  })
  shedServer(own, adaptive())
  around(own)
  server = await running(own)
  const bodies: string[] = []
  for (let i = 0; i < times; i++) bodies.push(await (await fetch(`${server.url}${path}`)).text())
  return { bodies, seen }
}

describe.each([
  ['express 5', express5],
  ['express 4', express4],
])('behind a shedder the requests of %s', (_version, express) => {
  it('have its fields from the second on, before it sees them, and no others', async () => {
    const app = express()
    const inner = express.Router({ mergeParams: true })
    inner.get('/:two', ({ params, query, baseUrl, originalUrl, url }, response) => {
      response.json([params, query, baseUrl, originalUrl, url, response.locals])
    })
    app.use('/in/:one', inner)
    const { bodies, seen } = await ask(app, { path: 'in/1/2?c=d', times: 3 })
    for (const body of bodies) {
      expect(JSON.parse(body)).toEqual([
        { one: '1', two: '2' },
        { c: 'd' },
        '/in/1',
        '/in/1/2?c=d',
        '/2?c=d',
        {},
      ])
    }
    expect(seen[1]!.filter(key => !seen[0]!.includes(key))).toEqual(fields)
    expect(seen[2]).toEqual(seen[1])
  })

  it('keep what somebody further out has set', async () => {
    const app = express()
    app.get('/', (request, response) => void response.json([request.originalUrl, response.locals]))
    const { bodies } = await ask(app, {
      around(own) {
        const emit = own.emit.bind(own) as (event: string, ...args: unknown[]) => boolean
        const outer = (event: string, ...args: unknown[]): boolean => {
          if (event === 'request') {
            Object.assign(args[0] as object, { originalUrl: '/before' })
            Object.assign(args[1] as object, { locals: { from: 'outside' }, statusCode: 203 })
          }
          return emit(event, ...args)
        }
        own.emit = outer as Server['emit']
      },
    })
    for (const body of bodies) expect(JSON.parse(body)).toEqual(['/before', { from: 'outside' }])
    expect((await fetch(server.url)).status).toBe(203)
  })
})

it.each([
  ['requests', 'request', { route: 'shared' }],
  ['responses', 'response', { locals: { shared: true } }],
] as const)(
  'what an application has for all %s under one of the names is left alone',
  async (_, all, own) => {
    const app = express5()
    Object.assign(app[all], own)
    app.use((request, response) => void response.json({ route: request.route, locals: response.locals }))
    const { bodies, seen } = await ask(app)
    for (const body of bodies) expect(JSON.parse(body)).toMatchObject(own)
    expect(seen[1]).toEqual(seen[0])
  },
)

it('requests that are none of express keep the fields that they have', async () => {
  const { seen } = await ask((_request, response) => void response.end())
  expect(seen[1]).toEqual(seen[0])
  expect(seen[1]).not.toContain('originalUrl')
})
