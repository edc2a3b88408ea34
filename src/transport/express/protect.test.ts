import { getEventListeners, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, connect } from 'node:net'
import express5, { type Request, type Response } from 'express'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { currentContext } from '../../core/ambient.ts'
import { addAnswerField } from '../../core/answer-fields.ts'
import { chain, gate } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Criticality } from '../../core/criticality.ts'
import type { Outcome } from '../../core/gate.ts'
import { Rejection } from '../../core/rejection.ts'
import { deadline } from '../../timeout/index.ts'
import { contextOf as httpContextOf, protectHandler, protectServer } from '../http/index.ts'
import { contextOf, errors, protect } from './index.ts'

// Express 4 has no types of its own here; for what is used of it, those of express 5 are right.
const express4: typeof express5 = createRequire(import.meta.url)('express4')

/** What a handler of the tests does with one request. */
type Handle = (request: IncomingMessage, response: ServerResponse, context: Context) => unknown

interface Options {
  readonly timeoutMs?: number
  readonly trustPeers?: boolean
}

/** Every way to stand in front of a handler. */
const stands: Record<string, (use: ReturnType<typeof chain>, handle: Handle, options: Options) => Server> = {
  'express 5': (use, handle, options) => {
    const app = express5()
    app.use(protect(use, options))
    app.use((request: Request, response: Response) => handle(request, response, contextOf(request)))
    app.use(errors())
    return createServer(app)
  },
  'express 4': (use, handle, options) => {
    const app = express4()
    app.use(protect(use, options))
    app.use((request, response, next) => {
      Promise.resolve(handle(request, response, contextOf(request))).catch(next)
    })
    app.use(errors())
    return createServer(app)
  },
  'protectHandler on node:http': (use, handle, options) =>
    createServer(
      protectHandler(use, (request, response) => handle(request, response, httpContextOf(request)), options),
    ),
  'protectServer in front of express': (use, handle, options) => {
    const app = express5()
    app.use((request: Request, response: Response) => handle(request, response, httpContextOf(request)))
    app.use(errors())
    return protectServer(createServer(app), use, options)
  },
}

let running: Server | undefined
afterEach(async () => {
  running?.closeAllConnections()
  running?.close()
  running = undefined
})

async function listen(server: Server): Promise<string> {
  running = server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** A gate that notes how calls came out, and lets the test wait for that. */
function watching(): {
  use: ReturnType<typeof gate>
  outcomes: Outcome[]
  settled: () => Promise<void>
} {
  const outcomes: Outcome[] = []
  let wake = (): void => {}
  return {
    outcomes,
    use: gate({
      kind: 'observe',
      name: 'watching',
      admit: () => undefined,
      settle(_ticket, outcome) {
        outcomes.push(outcome)
        wake()
      },
    }),
    settled: () =>
      outcomes.length > 0
        ? Promise.resolve()
        : new Promise(resolve => {
            wake = resolve
          }),
  }
}

const refusing = (options: ConstructorParameters<typeof Rejection>[0]): ReturnType<typeof gate> =>
  gate({ kind: 'other', name: 'refusing', admit: () => new Rejection(options) })

describe.each(Object.keys(stands))('%s', name => {
  const stand = stands[name]!

  it('hands the request on with a context, and tells the gates how it was answered', async () => {
    const { use, outcomes, settled } = watching()
    let seen: Context | undefined
    const handle: Handle = (_request, response, context) => {
      seen = context
      expect(currentContext()).toBe(context)
      response.end('ok')
    }
    const url = await listen(stand(chain(use, deadline({ totalMs: 1_000 })), handle, {}))
    const answer = await fetch(url)
    expect([answer.status, await answer.text()]).toEqual([200, 'ok'])
    await settled()
    expect(outcomes).toEqual(['success'])
    expect(seen!.caller).toMatch(/127\.0\.0\.1$/)
    expect(seen!.deadline).toBeLessThan(systemClock.now() + 1_000)
  })

  it('takes a status from 500 up for a failure, and 404 for an answer', async () => {
    const { use, outcomes, settled } = watching()
    const handle: Handle = (request, response) => {
      response.statusCode = request.url === '/down' ? 503 : 404
      response.end()
    }
    const url = await listen(stand(chain(use), handle, {}))
    await fetch(`${url}down`)
    await settled()
    await fetch(`${url}missing`)
    while (outcomes.length < 2) await new Promise(resolve => setTimeout(resolve, 1))
    expect(outcomes).toEqual(['failure', 'success'])
  })

  it('answers a refusal as a problem, keeps the connection, and leaves the handler alone', async () => {
    let handled = 0
    const use = refusing({ reason: 'rate-limited', policy: 'secret', retry: 'later', retryAfterMs: 1_200 })
    const handle: Handle = (_request, response) => {
      handled++
      response.end()
    }
    const url = await listen(stand(use, handle, {}))
    const answer = await fetch(url)
    expect(answer.status).toBe(429)
    expect(answer.headers.get('retry-after')).toBe('2')
    expect(answer.headers.get('connection')).not.toBe('close')
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    const body = await answer.text()
    expect(JSON.parse(body)).toMatchObject({ status: 429, type: 'urn:spillway:rate-limited' })
    expect(body).not.toContain('secret')
    const head = await fetch(url, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([429, ''])
    expect(handled).toBe(0)
  })

  it('answers 504 at the deadline while the handler hangs, and is deaf to the handler afterwards', async () => {
    const { use, outcomes } = watching()
    let late: (() => void) | undefined
    const handle: Handle = (_request, response, context) => {
      late = () => {
        expect(context.ended).toBe(true)
        expect(context.signal.aborted).toBe(true)
        response.setHeader('x-late', '1')
        response.statusCode = 200
        response.write('late')
        response.end('later')
      }
    }
    const url = await listen(stand(chain(use, deadline({ totalMs: 30 })), handle, {}))
    const answer = await fetch(url)
    expect(answer.status).toBe(504)
    expect(await answer.json()).toMatchObject({ type: 'urn:spillway:deadline-exceeded' })
    expect(outcomes).toEqual(['timeout'])
    late!()
    // The connection is fit for the next request.
    expect((await fetch(url)).status).toBe(504)
  })

  it('cuts off an answer that has begun when the deadline passes', async () => {
    const handle: Handle = (_request, response) => {
      response.write('the beginning')
    }
    const url = await listen(stand(chain(deadline({ totalMs: 60 })), handle, {}))
    const answer = await fetch(url)
    await expect(answer.text()).rejects.toThrow()
  })

  it('cancels the context when the client goes away', async () => {
    const { use, outcomes, settled } = watching()
    let reached: () => void
    const handling = new Promise<void>(resolve => {
      reached = resolve
    })
    let signal: AbortSignal | undefined
    const handle: Handle = (_request, _response, context) => {
      signal = context.signal
      reached()
    }
    const url = await listen(stand(chain(use), handle, {}))
    const client = new AbortController()
    const answer = fetch(url, { signal: client.signal })
    await handling
    client.abort()
    await expect(answer).rejects.toThrow()
    await settled()
    expect(signal!.aborted).toBe(true)
    expect(outcomes).toEqual(['cancelled'])
  })

  it('answers a refusal that a handler fails with, and says nothing of where it comes from', async () => {
    const handle: Handle = async () => {
      throw new Rejection({ reason: 'breaker-open', policy: 'inner-database', retry: 'never' })
    }
    const url = await listen(stand(chain(), handle, {}))
    const answer = await fetch(url)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(await answer.text()).not.toContain('inner-database')
  })

  it('adds the fields of the chain to refusals and to answers', async () => {
    const fields = gate<unknown>({
      kind: 'other',
      name: 'fields',
      admit(request, context) {
        addAnswerField(context, 'RateLimit', '"a";r=1')
        addAnswerField(context, 'RateLimit', '"b";r=2')
        addAnswerField(context, 'x-odd', 'line\r\nbreak')
        return (request as IncomingMessage).url === '/refuse'
          ? new Rejection({ reason: 'shed', policy: 'fields', retry: 'elsewhere' })
          : undefined
      },
    })
    const url = await listen(stand(fields, (_request, response) => response.end(), {}))
    for (const path of ['', 'refuse']) {
      const answer = await fetch(url + path)
      expect(answer.headers.get('ratelimit')).toBe('"a";r=1, "b";r=2')
      expect(answer.headers.get('x-odd')).not.toMatch(/[\r\n]/)
    }
  })

  it('believes a shorter deadline from anybody, and nothing else from strangers', async () => {
    const contexts: { timeoutMs: number; criticality: Criticality; tenant?: string; attempt: number }[] = []
    const handle: Handle = (_request, response, context) => {
      const { criticality, tenant, attempt, remainingMs } = context
      contexts.push({
        timeoutMs: remainingMs,
        criticality,
        attempt,
        ...(tenant === undefined ? {} : { tenant }),
      })
      response.end()
    }
    const headers = {
      'x-envoy-expected-rq-timeout-ms': '200',
      baggage: 'criticality=critical-plus,tenant=blue',
      'x-retry-attempt': '3',
    }
    for (const trustPeers of [false, true]) {
      const url = await listen(stand(chain(), handle, { timeoutMs: 500, trustPeers }))
      await fetch(url, { headers })
      await fetch(url, { headers: { ...headers, 'x-envoy-expected-rq-timeout-ms': '900000' } })
      running!.closeAllConnections()
      running!.close()
    }
    const [stranger, generous, peer] = contexts
    expect(stranger).toMatchObject({ criticality: 'critical', attempt: 1 })
    expect(stranger).not.toHaveProperty('tenant')
    expect(stranger!.timeoutMs).toBeLessThanOrEqual(200)
    expect(generous!.timeoutMs).toBeLessThanOrEqual(500)
    expect(peer).toMatchObject({ criticality: 'critical-plus', tenant: 'blue', attempt: 3 })
  })

  it('takes any headers: none of them crashes it, buys time or buys class', async () => {
    let context: Context | undefined
    const handle: Handle = (_request, response, given) => {
      context = given
      response.end()
    }
    const url = await listen(stand(chain(), handle, { timeoutMs: 400 }))
    const value = fc.oneof(
      fc.constantFrom(
        '',
        '-1',
        '1e9',
        '99999999H',
        '999999999S',
        'NaN',
        '0x10',
        '\u00b2',
        '10, 20',
        '5m5',
        ' 5m',
        '18446744073709551616',
      ),
      fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
      fc.constantFrom(
        'criticality=critical-plus',
        'criticality=%',
        'tenant=%00',
        '='.repeat(9_000),
        ','.repeat(400),
      ),
    )
    const names = [
      'grpc-timeout',
      'x-envoy-expected-rq-timeout-ms',
      'baggage',
      'x-retry-attempt',
      'grpc-previous-rpc-attempts',
    ]
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.constantFrom(...names), value), async headers => {
        const answer = await fetch(url, { headers })
        // No time at all, or more headers than Node takes.
        if (answer.status === 504 || answer.status === 431) return
        expect(answer.status).toBe(200)
        expect(context!.remainingMs).toBeLessThanOrEqual(400)
        expect([context!.criticality, context!.tenant, context!.attempt]).toEqual(['critical', undefined, 1])
      }),
      { numRuns: 60, seed: 7 },
    )
  })

  it('cancels what waits behind another request on a connection that closes', async () => {
    const contexts: Context[] = []
    const url = await listen(stand(chain(), (_request, _response, context) => contexts.push(context), {}))
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const request = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
    socket.write(request + request)
    while (contexts.length < 2) await new Promise(resolve => setTimeout(resolve, 1))
    socket.destroy()
    while (contexts.some(context => !context.ended)) await new Promise(resolve => setTimeout(resolve, 1))
  })

  it('leaves nothing behind after a thousand requests over few connections', async () => {
    let requests = 0
    const sockets = new Set<IncomingMessage['socket']>()
    const handle: Handle = (request, response) => {
      sockets.add(request.socket)
      if (requests++ % 3 === 0) response.statusCode = 500
      response.end('x')
    }
    const url = await listen(stand(chain(deadline({ totalMs: 60_000 })), handle, {}))
    for (let batch = 0; batch < 50; batch++) {
      await Promise.all(Array.from({ length: 20 }, async () => (await fetch(url)).text()))
    }
    expect(requests).toBe(1_000)
    while (systemClock.armed > 0) await new Promise(resolve => setTimeout(resolve, 1))
    for (const socket of sockets) {
      expect(socket.listenerCount('close')).toBeLessThan(5)
      expect(getEventListeners(socket, 'close').length).toBeLessThan(5)
    }
  })
})

it('refuses what makes no sense', () => {
  expect(() => protect(chain(), { timeoutMs: -1 })).toThrow(
    'Expected `timeoutMs` to be a number above 0, got -1',
  )
  expect(() => protect(chain(), { trust: true } as never)).toThrow('protect has no option `trust`')
  expect(() => protect('chain' as never)).toThrow('Expected `middleware` to be a function')
  expect(() => protectHandler(chain(), undefined as never)).toThrow('Expected `listener` to be a function')
})
