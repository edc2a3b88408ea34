/** What every way to protect a server does, whichever framework is behind it. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import {
  addAnswerField,
  type Context,
  chain,
  currentContext,
  gate,
  layer,
  markDegraded,
  type Outcome,
  Rejection,
} from 'spillway'
import { contextOf, type ProtectOptions } from 'spillway/http'
import { deadline } from 'spillway/timeout'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Middleware } from '../../src/core/handler.ts'
import { RawConnection, type Running, running } from './http.ts'

type Handle = (request: IncomingMessage, response: ServerResponse) => unknown

/** Builds a server whose handler, behind `middleware`, is `handle`. */
export type Build = (
  middleware: Middleware<IncomingMessage, void>,
  handle: Handle,
  options?: Pick<ProtectOptions, 'timeoutMs' | 'trustPeers'>,
) => Parameters<typeof running>[0]

/** A gate that notes how calls came out. */
export function noting(): {
  readonly gate: ReturnType<typeof gate>
  readonly outcomes: Outcome[]
  readonly errors: unknown[]
} {
  const outcomes: Outcome[] = []
  const errors: unknown[] = []
  return {
    outcomes,
    errors,
    gate: gate({
      kind: 'observe',
      name: 'noting',
      admit: () => undefined,
      settle(_ticket, outcome, _now, error) {
        outcomes.push(outcome)
        errors.push(error)
      },
    }),
  }
}

/** A gate that refuses requests with this field. */
export const refuseMarked: ReturnType<typeof gate> = gate<IncomingMessage>({
  kind: 'shed',
  name: 'secret-policy',
  admit: request =>
    request.headers['x-refuse'] === undefined
      ? undefined
      : new Rejection({ reason: 'shed', policy: 'secret-policy', retry: 'later', retryAfterMs: 1_500 }),
}) as ReturnType<typeof gate>

const fieldNames = [
  'grpc-timeout',
  'x-envoy-expected-rq-timeout-ms',
  'baggage',
  'x-retry-attempt',
  'grpc-previous-rpc-attempts',
]

const fieldValue = fc.oneof(
  fc.constantFrom(
    ...['', '-1', '1e9', '99999999H', '999999999S', 'NaN', '0x10', '\u00b2', '10, 20', '5m5', ' 5m', '5 m'],
    ...[
      '18446744073709551616',
      '9007199254740993',
      'criticality=critical-plus',
      'criticality=%',
      'tenant=%00',
    ],
    ...['='.repeat(9_000), ','.repeat(400), 'tenant=a,'.repeat(200)],
  ),
  fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
)

export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2))
}

export function describeProtection(name: string, build: Build): void {
  describe(name, () => {
    let server: Running
    let connection: RawConnection
    const start = async (...args: Parameters<Build>): Promise<RawConnection> => {
      server = await running(build(...args))
      connection = await RawConnection.open(server.port)
      return connection
    }
    let armed = 0
    beforeEach(async () => {
      await until(() => systemClock.armed === 0)
      armed = systemClock.armed
    })
    afterEach(async () => {
      connection?.close()
      await server?.stop()
      await until(() => systemClock.armed === armed)
    })
    const ok: Handle = (_request, response) => response.end('ok')

    it('lets a request through and tells the handler its context in both ways', async () => {
      const { gate: note, outcomes } = noting()
      const contexts: (Context | undefined)[] = []
      const client = await start(chain(note, deadline({ totalMs: 5_000 })), async (request, response) => {
        contexts.push(contextOf(request), currentContext())
        await new Promise(setImmediate)
        contexts.push(contextOf(request), currentContext())
        response.end('ok')
      })
      expect(await client.ask('GET').answer()).toMatchObject({ status: 200, body: 'ok' })
      expect(new Set(contexts).size).toBe(1)
      expect(contexts[0]!.remainingMs).toBeGreaterThan(0)
      expect(contexts[0]!.remainingMs).toBeLessThanOrEqual(5_000)
      expect(contexts[0]!.caller).toMatch(/127\.0\.0\.1$/)
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['success'])
      expect(contexts[0]!.ended).toBe(false)
    })

    it('refuses in front of the handler, says what a client needs to know, and keeps the connection', async () => {
      let handled = 0
      const client = await start(refuseMarked, (_request, response) => {
        handled++
        response.end('ok')
      })
      const answer = await client.ask('GET', '/', { 'x-refuse': '1' }).answer()
      expect(answer.status).toBe(503)
      expect(JSON.parse(answer.body)).toEqual({ type: 'urn:spillway:shed', title: 'Overloaded', status: 503 })
      expect(answer.headers).toMatchObject({
        'content-type': 'application/problem+json',
        'retry-after': '2',
        'retry-after-ms': '1500',
        'x-rejected': 'shed',
      })
      expect(JSON.stringify(answer)).not.toContain('secret')
      expect(handled).toBe(0)
      for (let n = 0; n < 3; n++) {
        expect((await client.ask('GET', '/', { 'x-refuse': '1' }).answer()).status).toBe(503)
        expect((await client.ask('GET').answer()).status).toBe(200)
      }
    })

    it('sends the head of a refusal without a body in answer to HEAD', async () => {
      const client = await start(refuseMarked, ok)
      const answer = await client.ask('HEAD', '/', { 'x-refuse': '1' }).answer(true)
      expect(answer.status).toBe(503)
      expect(Number(answer.headers['content-length'])).toBeGreaterThan(0)
      expect(await client.ask('GET').answer()).toMatchObject({ status: 200, body: 'ok' })
    })

    it('refuses before the body has come, and the connection is of use after it', async () => {
      const client = await start(refuseMarked, ok)
      client.ask('POST', '/', { 'x-refuse': '1', 'content-length': '10' }).write('12345')
      expect((await client.answer()).status).toBe(503)
      client.write('67890')
      expect(await client.ask('GET').answer()).toMatchObject({ status: 200, body: 'ok' })
    })

    it('answers requests that come all at once in their order', async () => {
      const client = await start(refuseMarked, async (_request, response) => {
        await new Promise(setImmediate)
        response.end('ok')
      })
      client.ask('GET', '/', { 'x-refuse': '1' }).ask('GET').ask('GET', '/', { 'x-refuse': '1' }).ask('GET')
      const statuses: number[] = []
      for (let n = 0; n < 4; n++) statuses.push((await client.answer()).status)
      expect(statuses).toEqual([503, 200, 503, 200])
    })

    it.each([
      ['a gate', chain(deadline({ totalMs: 25 })), {}],
      ['the listener', chain(), { timeoutMs: 25 }],
    ])(
      'answers 504 as soon as the deadline of %s passes, though the handler hangs',
      async (_who, middleware, options) => {
        const { gate: note, outcomes } = noting()
        const reasons: unknown[] = []
        const client = await start(
          chain(note, middleware),
          request => {
            const { signal } = contextOf(request)
            // On a busy machine the time may be up by now.
            if (signal.aborted) reasons.push(signal.reason)
            signal.addEventListener('abort', () => reasons.push(signal.reason))
          },
          options,
        )
        const answer = await client.ask('GET').answer()
        expect(answer.status).toBe(504)
        expect(JSON.parse(answer.body).type).toBe('urn:spillway:deadline-exceeded')
        expect(answer.headers['x-should-retry']).toBe('false')
        expect(answer.headers['x-rejected']).toBeUndefined()
        await until(() => reasons.length > 0)
        expect(reasons).toMatchObject([{ reason: 'deadline-exceeded' }])
        expect(outcomes).toEqual(['timeout'])
        expect((await client.ask('GET').answer()).status).toBe(504)
      },
    )

    it('does not let a handler that answers too late do any harm', async () => {
      const called: unknown[] = []
      let late: ServerResponse | undefined
      const client = await start(chain(deadline({ totalMs: 20 })), (request, response) => {
        if (request.url === '/quick') return response.end('ok')
        contextOf(request).signal.addEventListener('abort', () => {
          late = response
        })
      })
      expect((await client.ask('GET').answer()).status).toBe(504)
      await until(() => late !== undefined)
      const response = late!
      response.statusCode = 201
      response.statusMessage = 'Late'
      response.setHeader('x-late', '1').appendHeader('x-late', '2')
      response.removeHeader('x-late')
      response.writeHead(200, { 'content-type': 'text/plain' })
      response.flushHeaders()
      expect(response.write('late', error => called.push(error))).toBe(true)
      response.end('late', () => called.push('end'))
      response.destroy()
      await until(() => called.length === 2)
      expect(called).toContain('end')
      expect(called).toContainEqual(expect.objectContaining({ reason: 'deadline-exceeded' }))
      expect(response.headersSent).toBe(false)
      expect(await client.ask('GET', '/quick').answer()).toMatchObject({ status: 200, body: 'ok' })
    })

    it('shows those who log on `finish` what has really been sent', async () => {
      const logged: unknown[] = []
      const client = await start(chain(deadline({ totalMs: 20 })), (_request, response) => {
        response.on('finish', () => logged.push(response.headersSent, response.statusCode))
      })
      expect((await client.ask('GET').answer()).status).toBe(504)
      await until(() => logged.length > 0)
      expect(logged).toEqual([true, 504])
    })

    it('throws away what a handler had set for the body that it never sent, and nothing else', async () => {
      const client = await start(chain(deadline({ totalMs: 20 })), (_request, response) => {
        response.statusMessage = 'Fine'
        response.setHeader('access-control-allow-origin', '*')
        response.setHeader('content-encoding', 'gzip')
        response.setHeader('content-length', '1000000')
        response.setHeader('cache-control', 'public, max-age=3600')
        response.setHeader('etag', '"1"')
      })
      const { headers, body } = await client.ask('GET').answer()
      expect(JSON.parse(body).status).toBe(504)
      expect(headers['access-control-allow-origin']).toBe('*')
      expect(headers['cache-control']).toBe('no-store')
      expect(headers['content-encoding']).toBeUndefined()
      expect(headers.etag).toBeUndefined()
    })

    it('cuts off a response whose head has been sent when the deadline passes', async () => {
      const { gate: note, outcomes } = noting()
      const client = await start(chain(note, deadline({ totalMs: 30 })), (_request, response) => {
        response.writeHead(200, { 'content-length': '10' })
        response.write('12345')
      })
      client.ask('GET')
      await client.closed
      expect(await client.until(/[\s\S]*/)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*12345$/)
      expect(outcomes).toEqual(['timeout'])
    })

    it('takes the time that the caller gives, but for more than its own', async () => {
      const given: number[] = []
      const client = await start(
        chain(),
        (request, response) => {
          given.push(Math.ceil(contextOf(request).remainingMs))
          response.end()
        },
        { timeoutMs: 1_000 },
      )
      for (const fields of [
        { 'x-envoy-expected-rq-timeout-ms': '400' },
        { 'grpc-timeout': '300m' },
        { 'grpc-timeout': '300m', 'x-envoy-expected-rq-timeout-ms': '200' },
        { 'x-envoy-expected-rq-timeout-ms': '5000' },
        { 'grpc-timeout': '99999999H' },
        {},
      ]) {
        await client.ask('GET', '/', fields as Record<string, string>).answer()
      }
      const most = [400, 300, 200, 1_000, 1_000, 1_000]
      for (const [n, value] of given.entries()) {
        expect(value).toBeLessThanOrEqual(most[n]!)
        expect(value).toBeGreaterThan(most[n]! - 150)
      }
    })

    it('does not begin what has no time left', async () => {
      let handled = 0
      const client = await start(chain(), () => handled++)
      const answer = await client.ask('GET', '/', { 'x-envoy-expected-rq-timeout-ms': '0' }).answer()
      expect(answer.status).toBe(504)
      expect(answer.headers['x-rejected']).toBe('deadline-exceeded')
      expect(handled).toBe(0)
    })

    const claims = {
      baggage: 'criticality=critical-plus,tenant=gold',
      'x-retry-attempt': '3',
      'x-forwarded-for': '10.0.0.1',
    }
    it.each([
      [false, ['critical', undefined, 1]],
      [true, ['critical-plus', 'gold', 3]],
    ])('with trustPeers %s, takes callers for what they are', async (trustPeers, expected) => {
      let seen: unknown
      const client = await start(
        chain(),
        (request, response) => {
          const { criticality, tenant, attempt, caller } = contextOf(request)
          seen = [criticality, tenant, attempt]
          expect(caller).toMatch(/127\.0\.0\.1$/)
          response.end()
        },
        { trustPeers },
      )
      await client.ask('GET', '/', claims).answer()
      expect(seen).toEqual(expected)
    })

    it('cancels what a client that goes away had asked for', async () => {
      const { gate: note, outcomes } = noting()
      let context: Context | undefined
      const client = await start(note, request => {
        context = contextOf(request)
      })
      client.ask('GET')
      await until(() => context !== undefined)
      const { signal } = context!
      client.close()
      await once(signal, 'abort')
      expect(signal.reason).toMatchObject({ reason: 'cancelled' })
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['cancelled'])
    })

    it('cancels a response that is being streamed when its client goes away', async () => {
      const { gate: note, outcomes } = noting()
      let context: Context | undefined
      const client = await start(note, (request, response) => {
        context = contextOf(request)
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write('data: 1\n\n')
      })
      client.ask('GET')
      await client.until(/data: 1/)
      client.close()
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['cancelled'])
      expect(context!.ended).toBe(true)
    })

    it('cancels requests that wait behind others on the connection that closes', async () => {
      const { gate: note, outcomes } = noting()
      const contexts: Context[] = []
      const client = await start(note, request => {
        contexts.push(contextOf(request))
        request.resume()
      })
      for (let n = 0; n < 20; n++) client.ask('GET')
      await until(() => contexts.length === 20)
      client.close()
      await until(() => outcomes.length === 20)
      expect(new Set(outcomes)).toEqual(new Set(['cancelled']))
      expect(contexts.every(context => context.ended)).toBe(true)
    })

    it('lets a stream go on for as long as it likes where there is no deadline', async () => {
      const { gate: note, outcomes } = noting()
      const client = await start(note, async (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        for (let n = 0; n < 3; n++) {
          response.write(`data: ${n}\n\n`)
          await new Promise(resolve => setTimeout(resolve, 5))
          expect(outcomes).toEqual([])
        }
        response.end()
      })
      const { body } = await client.ask('GET').answer()
      expect(body.match(/data: \d/g)).toEqual(['data: 0', 'data: 1', 'data: 2'])
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['success'])
    })

    it.each([
      [200, 'success'],
      [404, 'success'],
      [429, 'success'],
      [500, 'failure'],
      [503, 'failure'],
    ])('counts an answer with status %i as a %s', async (status, outcome) => {
      const { gate: note, outcomes } = noting()
      const client = await start(note, (_request, response) => {
        response.statusCode = status
        response.end()
      })
      expect((await client.ask('GET').answer()).status).toBe(status)
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual([outcome])
    })

    it('does not begin work for a client that went away while it waited', async () => {
      let handled = 0
      let waiting: (() => void) | undefined
      const { gate: note, outcomes } = noting()
      const line = layer({ kind: 'other', name: 'line' }, next => async (request, context) => {
        await new Promise<void>(resolve => {
          waiting = resolve
        })
        return next(request, context)
      })
      const client = await start(chain(note, line), () => handled++)
      client.ask('GET')
      await until(() => waiting !== undefined)
      client.close()
      await until(() => outcomes.length > 0)
      waiting!()
      await new Promise(setImmediate)
      expect(handled).toBe(0)
      expect(outcomes).toEqual(['cancelled'])
    })

    it('sends the fields that parts of the chain add, with an answer as with a refusal', async () => {
      const limit = gate<IncomingMessage>({
        kind: 'rate-limit',
        name: 'limit',
        admit(_request, context) {
          addAnswerField(context, 'RateLimit', '"a";r=1')
          addAnswerField(context, 'RateLimit', '"b";r=2\r\nset-cookie: x')
        },
      })
      const client = await start(
        chain(limit as ReturnType<typeof gate>, refuseMarked),
        (request, response) => {
          markDegraded(contextOf(request), 'reviews')
          response.end('ok')
          addAnswerField(contextOf(request), 'x-late', '1')
        },
      )
      const answer = await client.ask('GET').answer()
      expect(answer.headers).toMatchObject({
        ratelimit: '"a";r=1, "b";r=2??set-cookie: x',
        'x-degraded': 'reviews',
      })
      expect(answer.headers['x-late']).toBeUndefined()
      const refused = await client.ask('GET', '/', { 'x-refuse': '1' }).answer()
      expect(refused.status).toBe(503)
      expect(refused.headers.ratelimit).toContain('"a";r=1')
    })

    it('answers a refusal that the handler fails with, and counts it as one', async () => {
      const { gate: note, outcomes, errors } = noting()
      const refusal = new Rejection({ reason: 'breaker-open', policy: 'secret-database', retry: 'never' })
      const client = await start(note, async () => {
        throw refusal
      })
      const answer = await client.ask('GET').answer()
      expect(answer.status).toBe(503)
      expect(answer.headers['x-should-retry']).toBe('false')
      expect(answer.headers['x-rejected']).toBeUndefined()
      expect(JSON.stringify(answer)).not.toContain('secret')
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['refused'])
      expect(errors[0]).toBe(refusal)
    })

    it('does not answer a handler that fails because its client has gone', async () => {
      const { gate: note, outcomes } = noting()
      let context: Context | undefined
      const client = await start(note, async request => {
        context = contextOf(request)
        await once(context.signal, 'abort')
        throw context.signal.reason
      })
      client.ask('GET')
      await until(() => context !== undefined)
      client.close()
      await until(() => outcomes.length > 0)
      expect(outcomes).toEqual(['cancelled'])
    })

    it('answers the deadline though the handler fails with it at the same moment', async () => {
      const client = await start(chain(deadline({ totalMs: 20 })), async request => {
        if (request.url === '/quick') return
        const { signal } = contextOf(request)
        await once(signal, 'abort')
        throw new Error('given up')
      })
      for (let n = 0; n < 3; n++) expect((await client.ask('GET').answer()).status).toBe(504)
    })

    it('takes any headers: none of them crashes it, buys time or buys class', async () => {
      let context: Context | undefined
      const client = await start(
        chain(),
        (request, response) => {
          context = contextOf(request)
          response.end()
        },
        { timeoutMs: 400 },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...fieldNames), fieldValue)), async fields => {
          const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
          client.write(`GET / HTTP/1.1\r\nhost: a\r\n${lines}\r\n`)
          const { status } = await client.answer()
          // No time at all, or more headers than Node takes.
          if (status === 504) return
          if (status === 431) {
            client.close()
            connection = await RawConnection.open(server.port)
            return
          }
          expect(status).toBe(200)
          expect(context!.remainingMs).toBeLessThanOrEqual(400)
          expect([context!.criticality, context!.tenant, context!.attempt]).toEqual([
            'critical',
            undefined,
            1,
          ])
        }),
        { numRuns: 100, seed: 7 },
      )
    })

    it('runs the handler once, however often a middleware calls next()', async () => {
      let handled = 0
      const twice = layer(
        { kind: 'retry', name: 'twice', repeats: true },
        next => async (request, context) => {
          await next(request, context).catch(() => undefined)
          return next(request, context)
        },
      )
      const client = await start(twice, (_request, response) => {
        handled++
        response.statusCode = 500
        response.end()
      })
      expect((await client.ask('GET').answer()).status).toBe(500)
      expect(handled).toBe(1)
    })

    it('leaves nothing behind on connections that are used again and again', async () => {
      const sockets = new Set<Socket>()
      const client = await start(chain(refuseMarked, deadline({ totalMs: 60_000 })), (request, response) => {
        sockets.add(request.socket)
        void contextOf(request).signal
        response.end('ok')
      })
      await client.ask('GET').answer()
      const [socket] = sockets
      const before = socket!.eventNames().map(event => socket!.listenerCount(event))
      for (let batch = 0; batch < 50; batch++) {
        for (let n = 0; n < 50; n++) client.ask('GET', '/', n % 3 === 0 ? { 'x-refuse': '1' } : {})
        for (let n = 0; n < 50; n++) await client.answer()
      }
      await new Promise(setImmediate)
      expect(sockets.size).toBe(1)
      expect(socket!.eventNames().map(event => socket!.listenerCount(event))).toEqual(before)
      expect(systemClock.armed).toBe(armed)
    })
  })
}
