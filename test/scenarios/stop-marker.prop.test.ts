/** The word of a layer that gave up, on its way up through any number of layers and processes. */
import type { IncomingHttpHeaders } from 'node:http2'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { advise, type Context, gate, type Handler, isFinal, openContext, rootContext } from 'spillway'
import { fallback } from 'spillway/degrade'
import { backoff, hedge, retry } from 'spillway/retry'
import { manualClock } from 'spillway/testing'
import { expect, test } from 'vitest'
import { adviseCallError } from '../../src/transport/grpc/call-error.ts'
import { statusOf } from '../../src/transport/grpc/status.ts'
import { brokenProblem, problemOf } from '../../src/transport/http/problem.ts'
import { adviceIn } from '../../src/transport/wire/advice.ts'

type Ask = Handler<unknown, string>

/** What an error is on the other side of a gRPC call: a status with trailers, and nothing else of it. */
function overGrpc(error: unknown): unknown {
  const { code, details, metadata } = statusOf(error)
  const sent = Metadata.fromHttp2Headers(metadata!.toHttp2Headers() as IncomingHttpHeaders)
  const arrived: ServiceError = Object.assign(new Error(details), { code, details, metadata: sent })
  adviseCallError(arrived, true)
  return arrived
}

/** The same over HTTP: a status and header fields. */
function overHttp(error: unknown): unknown {
  const { status, headers } = problemOf(error) ?? brokenProblem()
  const arrived = Object.assign(new Error('failed'), { status })
  const advice = adviceIn(name => headers[name])
  if (advice !== undefined) advise(arrived, advice)
  return arrived
}

const failingAs =
  (change: (error: unknown) => unknown) =>
  (next: Ask): Ask =>
  (request, context) =>
    next(request, context).catch((error: unknown) => Promise.reject(change(error)))

const options = { budget: false, idempotent: true, backoff: backoff.constant(1) } as const
const hop = fc.oneof(
  fc.constantFrom('grpc' as const, 'http' as const, 'rethrow' as const, 'gate' as const),
  fc.record({
    kind: fc.constantFrom('retry' as const, 'hedge' as const),
    attempts: fc.integer({ min: 2, max: 4 }),
  }),
)
type Hop = typeof hop extends fc.Arbitrary<infer T> ? T : never

function around(hop: Hop, next: Ask): Ask {
  if (hop === 'grpc') return failingAs(overGrpc)(next)
  if (hop === 'http') return failingAs(overHttp)(next)
  if (hop === 'rethrow') return failingAs(error => error)(next)
  if (hop === 'gate') return gate({ kind: 'other', name: 'gate', admit: () => undefined })(next) as Ask
  const { kind, attempts } = hop
  const { backoff: _, ...hedged } = options
  // Only what has failed is asked again, so that it can be counted.
  const layer =
    kind === 'retry' ? retry({ ...options, attempts }) : hedge({ ...hedged, attempts, delayMs: 1e6 })
  return layer(next) as Ask
}

test('the bottom is called as often as its nearest layer allows, and the word arrives whatever carries it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(hop, { maxLength: 8, size: 'max' }),
      fc.boolean(),
      async (hops, asRejection) => {
        const clock = manualClock()
        const { context } = openContext({ clock })
        let leaf = 0
        const bottom: Ask = () => {
          leaf++
          const details = 'out of order'
          const error = new Error(details)
          const fields = { code: status.UNAVAILABLE, details, metadata: new Metadata() }
          return Promise.reject(
            asRejection ? Object.assign(error, { status: 503 }) : Object.assign(error, fields),
          )
        }
        // What comes out of each hop, outermost first: the last to be noted is what its caller saw.
        const seen: unknown[] = hops.map(() => undefined)
        const call = hops.reduceRight<Ask>((next, hop, i) => {
          const wrapped = around(hop, next)
          return (request, inner) =>
            wrapped(request, inner).catch((error: unknown) => {
              seen[i] = error
              throw error
            })
        }, bottom)
        const failed = call('ask', context).catch(() => {})
        for (let i = 0; i < 40; i++) await clock.advance(1)
        await failed

        const nearest = hops.findLastIndex(hop => typeof hop === 'object')
        const allowed = nearest < 0 ? 1 : (hops[nearest] as { attempts: number }).attempts
        expect(leaf).toBeLessThanOrEqual(allowed)
        // Nothing but processes that cannot tell 503 from UNAVAILABLE may stand between the two.
        const carried = hops.slice(nearest + 1).every(hop => hop === 'rethrow' || hop === 'gate')
        if (nearest < 0 || !carried) return
        expect(leaf).toBe(allowed)
        for (const error of seen.slice(0, nearest + 1)) expect(isFinal(error)).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
})

test('an answer that stands in for what failed carries no word', async () => {
  const failing = async (_request: unknown, _context: Context): Promise<{ name: string }> => {
    throw Object.assign(new Error('down'), { status: 503 })
  }
  const standIn = { name: 'default' }
  const call = fallback<unknown, { name: string }>({ default: standIn })(
    retry({ ...options, backoff: backoff.constant(0) })(failing) as typeof failing,
  )
  const answer = await call('ask', rootContext)
  expect(answer).toBe(standIn)
  expect(isFinal(answer)).toBe(false)
})
