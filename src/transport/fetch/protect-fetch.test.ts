import { getEventListeners, once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { fetch as undiciFetch, request as undiciRequest } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { adviceOf } from '../../core/advice.ts'
import { withContext } from '../../core/ambient.ts'
import { chain, gate, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { type Context, createContext, openContext } from '../../core/context.ts'
import type { Outcome } from '../../core/gate.ts'
import { isRejection } from '../../core/rejection.ts'
import { deadline } from '../../timeout/index.ts'
import { contextHeaders } from './context-headers.ts'
import { HttpFailure } from './http-failure.ts'
import type { OutgoingRequest } from './outgoing-request.ts'
import { protectFetch } from './protect-fetch.ts'

interface Seen {
  readonly method: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly closed: Promise<unknown>
  body: string
}

const seen: Seen[] = []
let answer: (request: IncomingMessage, response: ServerResponse) => void
const server = createServer((request, response) => {
  const entry: Seen = {
    method: request.method,
    headers: request.headers,
    closed: once(response, 'close'),
    body: '',
  }
  seen.push(entry)
  request.on('data', chunk => {
    entry.body += chunk
  })
  request.on('end', () => answer(request, response))
})
let url = ''

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  seen.length = 0
  answer = (_request, response) => response.end('hello')
})

/** A chain that notes what a gate is told. */
function noting(): { outcomes: [Outcome, unknown][]; use: ReturnType<typeof gate> } {
  const outcomes: [Outcome, unknown][] = []
  const use = gate({
    kind: 'observe',
    name: 'noting',
    admit: () => undefined,
    settle: (_ticket, outcome, _now, error) => {
      outcomes.push([outcome, error])
    },
  })
  return { outcomes, use }
}

/** Calls `next` again after each failure, as a retry would. */
const thrice = layer({ kind: 'retry', name: 'thrice', repeats: true }, next => async (request, context) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await next(request, context.with({ attempt }))
    } catch (error) {
      if (attempt === 3) throw error
    }
  }
})

describe.each([
  ['the global fetch', undefined],
  ['undici', undiciFetch],
] as const)('protectFetch around %s', (_name, fetch) => {
  const options = fetch === undefined ? {} : { fetch }

  it('returns what fetch returns', async () => {
    const { outcomes, use } = noting()
    const response = await protectFetch(use, options)(url)
    expect(response.status).toBe(200)
    expect(response.url).toBe(url)
    expect(await response.text()).toBe('hello')
    expect(outcomes).toEqual([['success', undefined]])
  })

  it('writes the time that is left, rounded down, and never more than there is', async () => {
    const protectedFetch = protectFetch(deadline({ totalMs: 500 }), options)
    await (await protectedFetch(url, { context: createContext({ timeoutMs: 300 }) })).text()
    await (await protectedFetch(url)).text()
    const [first, second] = seen.map(({ headers }) => Number(headers['x-envoy-expected-rq-timeout-ms']))
    expect(first).toBeLessThanOrEqual(300)
    expect(first).toBeGreaterThan(0)
    expect(second).toBeLessThanOrEqual(500)
    expect(second).toBeGreaterThan(300)
  })

  it('writes criticality, tenant and the number of the attempt, and keeps baggage that is there', async () => {
    const context = createContext({ criticality: 'sheddable', tenant: 'blue, light', attempt: 2 })
    await (await protectFetch(chain(), options)(url, { context, headers: { baggage: 'a=b' } })).text()
    expect(seen[0]!.headers.baggage).toBe('a=b,criticality=sheddable,tenant=blue%2C%20light')
    expect(seen[0]!.headers['x-retry-attempt']).toBe('2')
  })

  it('shows a failing status to the chain, with advice, and returns the response to the caller', async () => {
    answer = (_request, response) => response.writeHead(503, { 'x-should-retry': 'false' }).end('sorry')
    const { outcomes, use } = noting()
    const response = await protectFetch(use, options)(url)
    expect(response.status).toBe(503)
    expect(await response.text()).toBe('sorry')
    const [[outcome, error]] = outcomes as [[Outcome, HttpFailure]]
    expect(outcome).toBe('failure')
    expect(error).toBeInstanceOf(HttpFailure)
    expect(adviceOf(error)).toEqual({ retry: 'never' })
  })

  it('does not take 404 for a failure, unless it is told to', async () => {
    answer = (_request, response) => response.writeHead(404).end()
    const { outcomes, use } = noting()
    await protectFetch(use, options)(url)
    await protectFetch(use, { ...options, isFailure: response => !response.ok })(url)
    expect(outcomes.map(([outcome]) => outcome)).toEqual(['success', 'failure'])
  })

  it('can be sent again, body and all, and says which attempt it is', async () => {
    answer = (_request, response) => response.writeHead(seen.length < 3 ? 500 : 200).end(`try ${seen.length}`)
    const response = await protectFetch(thrice, options)(url, { method: 'PUT', body: 'the body' })
    expect(await response.text()).toBe('try 3')
    expect(seen.map(({ body }) => body)).toEqual(['the body', 'the body', 'the body'])
    expect(seen.map(({ headers }) => headers['x-retry-attempt'])).toEqual([undefined, '2', '3'])
  })

  it('sends a body that is a stream once, and returns what became of it', async () => {
    answer = (_request, response) => response.writeHead(500).end('no')
    const body = Readable.toWeb(Readable.from(['a', 'b'])) as unknown as RequestInit['body']
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit
    const response = await protectFetch(thrice, options)(url, init)
    expect(response.status).toBe(500)
    expect(await response.text()).toBe('no')
    expect(seen.map(({ body }) => body)).toEqual(['ab'])
  })

  it('closes the connection of a request that is not answered in time', async () => {
    answer = () => {}
    const call = protectFetch(deadline({ totalMs: 500 }), options)(url)
    await expect(call).rejects.toSatisfy(error => isRejection(error, 'deadline-exceeded'))
    expect(seen).toHaveLength(1)
    await seen[0]!.closed
  })

  it('ends a body that does not come to its end in time', async () => {
    answer = (_request, response) => response.writeHead(200).write('the beginning')
    const response = await protectFetch(deadline({ totalMs: 500 }), options)(url)
    await expect(response.text()).rejects.toSatisfy(error => isRejection(error, 'deadline-exceeded'))
    await seen[0]!.closed
  })

  it('ends a body that is read piece by piece when the caller goes away', async () => {
    answer = (_request, response) => response.writeHead(200).write('the beginning')
    const caller = new AbortController()
    const response = await protectFetch(chain(), options)(url, { signal: caller.signal })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('the beginning')
    caller.abort(new Error('gone'))
    await expect(reader.read()).rejects.toThrow('gone')
    await seen[0]!.closed
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0)
  })

  it('is cancelled with the call that it is part of', async () => {
    answer = () => {}
    const { context, cancel } = openContext()
    const call = withContext(context, () => protectFetch(chain(), options)(url))
    while (seen.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    cancel(new Error('nobody waits'))
    await expect(call).rejects.toThrow('nobody waits')
    await seen[0]!.closed
  })

  it('leaves nothing behind, however the body is read', async () => {
    const caller = new AbortController()
    const protectedFetch = protectFetch(deadline({ totalMs: 60_000 }), options)
    const before = systemClock.armed
    const get = (): Promise<Response> => protectedFetch(url, { signal: caller.signal })
    const wait = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise(resolve => setTimeout(resolve, 1))
    }
    const ways: ((response: Response) => Promise<unknown>)[] = [
      response => response.text(),
      response => response.arrayBuffer(),
      response => response.body!.pipeTo(new WritableStream()),
      response => response.body!.cancel(),
      async response => {
        for await (const _chunk of response.body as unknown as AsyncIterable<Uint8Array>);
      },
      async response => {
        const reader = response.body!.getReader()
        while (!(await reader.read()).done);
      },
      response => new Response(response.body!.pipeThrough(new TransformStream())).text(),
      response => response.clone().text(),
      async response => {
        const copy = response.clone()
        expect(await response.text()).toBe('hello')
        expect(await copy.text()).toBe('hello')
      },
      response => new Response(response.body!.tee()[1]).text(),
    ]
    for (const way of ways) {
      await way(await get())
      await wait(() => getEventListeners(caller.signal, 'abort').length === 0 && systemClock.armed === before)
    }
  })
})

describe('protectFetch', () => {
  it('holds on to no response that nobody reads, though its caller lives for ever', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const caller = new AbortController()
    const protectedFetch = protectFetch(chain())
    for (let n = 0; n < 20; n++) await protectedFetch(url, { signal: caller.signal })
    while (getEventListeners(caller.signal, 'abort').length > 0) {
      collect()
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })

  it('does not lose the word that nobody may try again when the error becomes a response', async () => {
    answer = (_request, response) => response.writeHead(503, { 'x-should-retry': 'false' }).end('sorry')
    const response = await protectFetch(chain())(url)
    expect(adviceOf(response)).toEqual({ retry: 'never' })
    expect(adviceOf(new Error('The catalogue is down', { cause: response }))).toEqual({ retry: 'never' })
    await response.text()
  })

  it('gives the fields to clients of other kinds', async () => {
    const context = createContext({ timeoutMs: 400, tenant: 'blue', attempt: 2 })
    const call = deadline({ totalMs: 300 })(async (_request, { signal }) => {
      const { body } = await undiciRequest(url, { headers: withContext(context, contextHeaders), signal })
      return body.text()
    })
    expect(await call(undefined, context)).toBe('hello')
    const { baggage, 'x-retry-attempt': attempt, 'x-envoy-expected-rq-timeout-ms': left } = seen[0]!.headers
    expect([baggage, attempt]).toEqual(['tenant=blue', '2'])
    expect(Number(left)).toBeLessThanOrEqual(400)
    expect(contextHeaders(createContext())).toEqual({})
  })

  it('tells servers of others nothing', async () => {
    const protectedFetch = protectFetch(deadline({ totalMs: 60_000 }), { propagate: false })
    const context = createContext({ criticality: 'sheddable', tenant: 'blue', attempt: 2 })
    await (await protectedFetch(url, { context, headers: { baggage: 'a=b' } })).text()
    expect(seen[0]!.headers).toMatchObject({ baggage: 'a=b' })
    expect(seen[0]!.headers).not.toHaveProperty('x-retry-attempt')
    expect(seen[0]!.headers).not.toHaveProperty('x-envoy-expected-rq-timeout-ms')
  })

  it('takes a Request, and knows what may be sent twice', async () => {
    const contexts: Context[] = []
    const look = layer({ kind: 'other', name: 'look' }, next => (request, context) => {
      contexts.push(context)
      return next(request, context)
    })
    const protectedFetch = protectFetch(look)
    const response = await protectedFetch(
      new Request(url, { method: 'POST', body: 'x', headers: { a: 'b' } }),
    )
    expect(await response.text()).toBe('hello')
    expect(seen[0]).toMatchObject({ method: 'POST', body: 'x', headers: { a: 'b' } })
    await (await protectedFetch(url)).text()
    await (await protectedFetch(url, { method: 'POST', headers: { 'Idempotency-Key': '1' } })).text()
    expect(contexts.map(context => context.idempotent)).toEqual([false, true, true])
  })

  it('lets a middleware change the headers', async () => {
    const sign = layer<OutgoingRequest>({ kind: 'other', name: 'sign' }, next => (request, context) => {
      request.headers.set('authorization', 'me')
      return next(request, context)
    })
    await (await protectFetch(sign)(url)).text()
    expect(seen[0]!.headers.authorization).toBe('me')
  })

  it('does not send a request whose time is up, or whose caller is gone', async () => {
    const signal = AbortSignal.abort(new Error('gone'))
    await expect(protectFetch(chain())(url, { signal })).rejects.toThrow('gone')
    const context = createContext({ timeoutMs: 0 })
    await expect(protectFetch(chain())(url, { context })).rejects.toSatisfy(error =>
      isRejection(error, 'deadline-exceeded'),
    )
    expect(seen).toHaveLength(0)
  })

  it('refuses what makes no sense', async () => {
    expect(() => protectFetch(chain(), { fetch: 5 as never })).toThrow('Expected `fetch` to be a function')
    expect(() => protectFetch(chain(), { retries: 5 } as never)).toThrow('no option `retries`')
    await expect(protectFetch(chain())('not a url')).rejects.toThrow('Invalid URL')
  })
})
