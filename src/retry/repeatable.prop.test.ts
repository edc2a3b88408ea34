import fc from 'fast-check'
import { expect, test } from 'vitest'
import { advise } from '../core/advice.ts'
import { createContext } from '../core/context.ts'
import { deadlineExceeded, Rejection } from '../core/rejection.ts'
import { manualClock } from '../testing/index.ts'
import { backoff } from './backoff.ts'
import { hedge } from './hedge.ts'
import { retry } from './retry.ts'

/** A way to fail, and whether the server may have begun by then. */
interface Failing {
  readonly name: string
  readonly reached: boolean
  readonly make: () => unknown
}

const coded = (code: string, reached: boolean, more: object = {}): Failing => ({
  name: code,
  reached,
  make: () => Object.assign(new Error(code), { code, ...more }),
})
const http = (status: number): Failing => ({
  name: `HTTP ${status}`,
  reached: true,
  make: () => Object.assign(new Error('answered'), { status }),
})
const grpc = (code: number): Failing => ({
  name: `gRPC ${code}`,
  reached: true,
  make: () => Object.assign(new Error('status'), { code, details: 'x', metadata: {} }),
})
const rejection = (reason: 'shed' | 'bulkhead-full' | 'no-endpoint', begun: boolean): Failing => ({
  name: `${reason} ${begun ? 'later' : 'before'}`,
  reached: begun,
  make: () =>
    new Rejection({ reason, policy: 'x', retry: begun ? 'later' : 'elsewhere', retryAfterMs: 1, begun }),
})

const failings: readonly Failing[] = [
  coded('ECONNREFUSED', false),
  coded('ENOTFOUND', false),
  coded('EAI_AGAIN', false),
  coded('ETIMEDOUT', false, { syscall: 'connect' }),
  coded('UND_ERR_CONNECT_TIMEOUT', false),
  coded('ERR_HTTP2_GOAWAY_SESSION', false),
  {
    name: 'REFUSED_STREAM',
    reached: false,
    make: () =>
      Object.assign(new Error('Stream closed with error code NGHTTP2_REFUSED_STREAM'), {
        code: 'ERR_HTTP2_STREAM_ERROR',
      }),
  },
  coded('ECONNRESET', true),
  coded('EPIPE', true),
  coded('ETIMEDOUT', true),
  coded('UND_ERR_SOCKET', true),
  coded('UND_ERR_HEADERS_TIMEOUT', true),
  coded('ERR_HTTP2_STREAM_ERROR', true),
  ...[408, 409, 425, 429, 500, 502, 503, 504].map(http),
  ...Array.from({ length: 16 }, (_, i) => grpc(i + 1)),
  rejection('shed', false),
  rejection('no-endpoint', false),
  rejection('bulkhead-full', true),
  { name: 'timeout', reached: true, make: () => deadlineExceeded('attempt', true) },
  { name: 'nothing known', reached: true, make: () => new Error('something') },
  {
    name: 'advice to come later',
    reached: true,
    make: () => {
      const error = new Error('busy')
      advise(error, { retry: 'later', retryAfterMs: 1 })
      return error
    },
  },
]

/** The same failure, as the cause of what a client library makes of it. */
const wrapped = (failing: Failing): Failing => ({
  ...failing,
  name: `${failing.name}, wrapped`,
  make: () => new TypeError('fetch failed', { cause: failing.make() }),
})
const failing = fc
  .tuple(fc.constantFrom(...failings), fc.boolean())
  .map(([one, wrap]) => (wrap ? wrapped(one) : one))

test('whatever a call fails with, in whatever order, one that may not be made twice reaches the server once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(failing, { minLength: 8, maxLength: 8 }),
      fc.boolean(),
      async (script, hedged) => {
        const clock = manualClock()
        const context = createContext({ clock, idempotent: false })
        let made = 0
        let reached = 0
        const protect = hedged
          ? hedge({ attempts: 5, delayMs: 1, budget: false })
          : retry({
              attempts: 8,
              budget: false,
              backoff: backoff.constant(0),
              overloadBackoff: backoff.constant(0),
            })
        const call = protect(async () => {
          const { reached: there, make } = script[made++]!
          if (there) reached++
          throw make()
        })
        const failed = call('order', context).catch(() => {})
        await clock.advance(100)
        await failed
        expect(reached).toBeLessThanOrEqual(1)
        if (!hedged && made < 8) expect(reached).toBe(1)
      },
    ),
    { numRuns: 400 },
  )
})

test('one that may be made twice is repeated for every one of the failures that never reached a server', async () => {
  await fc.assert(
    fc.asyncProperty(failing, fc.boolean(), async (one, idempotent) => {
      const clock = manualClock()
      const context = createContext({ clock, idempotent })
      let made = 0
      const protect = retry({ budget: false, backoff: backoff.constant(0), attempts: 2 })
      const call = protect(async () => {
        made++
        throw one.make()
      })
      const failed = call('order', context).catch(() => {})
      await clock.advance(30_000)
      await failed
      if (!one.reached) expect(made).toBe(2)
    }),
  )
})
