import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { dial, listen, oneByOne, until } from '../../../test/support/shed-server.ts'
import { fixed, type Shedder } from '../../shedding/index.ts'
import { shedServer } from './shed-server.ts'

/** What a handler does with a request, by the path. */
const handlers: Readonly<Record<string, RequestListener>> = {
  '/ok': (_request, response) => {
    response.end('served')
  },
  '/later': (_request, response) => {
    setTimeout(() => response.end('served'), 2)
  },
  '/broken': (_request, response) => {
    response.writeHead(500).end()
  },
  '/busy': (_request, response) => {
    response.writeHead(503).end()
  },
  '/twice': (_request, response) => {
    response.end('served')
    response.end()
    try {
      response.writeHead(200)
    } catch {}
  },
  '/stream': (_request, response) => {
    response.write('a part, and nothing more')
  },
  '/destroyed': (_request, response) => {
    response.destroy()
  },
  '/late': (request, response) => {
    request.socket.once('close', () => {
      try {
        response.writeHead(200).end('too late')
      } catch {}
    })
  },
  '/never': () => {},
}

const paths = Object.keys(handlers)
const faults: unknown[] = []
const note = (error: unknown): void => {
  faults.push(error)
}

beforeAll(() => {
  process.on('uncaughtException', note)
})
afterAll(() => {
  process.off('uncaughtException', note)
})

/** Requests of one connection, sent one by one or all at once, and when it goes away. */
const connection = fc.record({
  paths: fc.array(fc.constantFrom(...paths), { minLength: 1, maxLength: 4 }),
  pipelined: fc.boolean(),
  gapMs: fc.integer({ min: 0, max: 3 }),
  leavesAfterMs: fc.integer({ min: 0, max: 12 }),
  abruptly: fc.boolean(),
})

const shedders: Readonly<Record<string, () => Shedder>> = {
  'one that says at once': () => fixed({ limit: 2 }),
  'one that only watches': () => fixed({ limit: 2, mode: 'observe' }),
  'one with a queue': oneByOne,
}

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

test.each(Object.entries(shedders))(
  'whatever becomes of requests and connections, nothing is in flight in the end: %s',
  async (_name, make) => {
    await fc.assert(
      fc.asyncProperty(fc.array(connection, { minLength: 1, maxLength: 4 }), async connections => {
        const shedder = make()
        const server = shedServer(
          createServer((request, response) => handlers[request.url!]!(request, response as never)),
          shedder,
        )
        const { port } = await listen(server)
        let least = 0
        const { settle } = shedder
        shedder.settle = (call, result, now) => {
          settle.call(shedder, call, result, now)
          least = Math.min(least, shedder.snapshot().inFlight)
        }
        await Promise.all(
          connections.map(async ({ paths, pipelined, gapMs, leavesAfterMs, abruptly }) => {
            const { socket } = dial(port)
            await once(socket, 'connect')
            const requests = paths.map(path => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
            if (pipelined) socket.write(requests.join(''))
            else {
              for (const request of requests) {
                socket.write(request)
                await sleep(gapMs)
              }
            }
            await sleep(leavesAfterMs)
            if (abruptly) socket.resetAndDestroy()
            else socket.destroy()
          }),
        )
        // What is left of the queue belongs to connections that have gone; it is looked at every few milliseconds.
        const over = (): boolean => {
          const { inFlight, queued = 0 } = shedder.snapshot() as { inFlight: number; queued?: number }
          return inFlight === 0 && queued === 0
        }
        await until(over)
        expect(least).toBe(0)
        expect(faults).toEqual([])
        server.close()
      }),
      { numRuns: 40 },
    )
  },
  30_000,
)
