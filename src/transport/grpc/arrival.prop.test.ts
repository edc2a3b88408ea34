import { Metadata } from '@grpc/grpc-js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCriticality } from '../../core/criticality.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { contextOf } from './arrival.ts'

/** What callers send, and what only those send who mean harm. */
const names = fc.constantFrom(
  'baggage',
  'grpc-previous-rpc-attempts',
  'grpc-timeout',
  'x-envoy-expected-rq-timeout-ms',
  'x-retry-attempt',
)
const values = fc.oneof(
  fc.stringMatching(/^[ -~]{0,40}$/),
  fc.constantFrom(
    '1S',
    '99999999H',
    '-5m',
    '5',
    '0',
    '1e9',
    'criticality=critical-plus',
    'tenant=%',
    'tenant=a;b',
  ),
  fc.nat().map(n => `${n}m`),
  fc.nat().map(String),
)
const metadata = fc.array(fc.tuple(names, values)).map(entries => {
  const metadata = new Metadata()
  for (const [name, value] of entries) metadata.add(name, value)
  return metadata
})

const left = (metadata: Metadata, grpcMs: number, timeoutMs: number | undefined, trustPeers: boolean) => {
  const clock = manualClock()
  const deadline = grpcMs === Infinity ? Infinity : Date.now() + grpcMs
  const options = { clock, trustPeers, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  const context = contextOf({ metadata, peer: '10.0.0.1:5000', deadline }, options)
  return { context, leftMs: context.deadline - clock.now() }
}

test('whatever comes in, it never throws, and never buys time or a better class', () => {
  fc.assert(
    fc.property(
      metadata,
      fc.oneof(fc.constant(Infinity), fc.integer({ min: -(2 ** 31), max: 2 ** 31 })),
      fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
      fc.boolean(),
      (metadata, grpcMs, timeoutMs, trustPeers) => {
        const { context, leftMs } = left(metadata, grpcMs, timeoutMs, trustPeers)
        expect(leftMs).toBeLessThanOrEqual(timeoutMs ?? Infinity)
        expect(leftMs).toBeLessThanOrEqual(Math.max(0, grpcMs))
        expect(leftMs).toBeGreaterThanOrEqual(0)
        expect(isCriticality(context.criticality)).toBe(true)
        expect(context.attempt).toBeGreaterThanOrEqual(1)
        if (!trustPeers) {
          expect([context.criticality, context.tenant, context.attempt]).toEqual(['critical', undefined, 1])
        }
      },
    ),
    { numRuns: 1_000 },
  )
})

test('the caller is an address, of either family', () => {
  const of = (peer: string): string | undefined =>
    contextOf({ metadata: new Metadata(), peer, deadline: Infinity }, {}).caller
  expect(of('10.0.0.1:5000')).toBe('10.0.0.1')
  expect(of('::1:5000')).toBe('::1')
  expect(of('unknown')).toBe('unknown')
})
