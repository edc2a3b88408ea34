import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { isCriticality } from '../../core/criticality.ts'
import { checkInbound, openInbound, readInbound } from './inbound.ts'
import { writeBaggage } from './outbound.ts'

const names = [
  'grpc-timeout',
  'x-envoy-expected-rq-timeout-ms',
  'baggage',
  'x-retry-attempt',
  'grpc-previous-rpc-attempts',
]
const value = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.tuple(fc.nat(), fc.constantFrom('', ...'HMSmun')).map(([n, unit]) => `${n}${unit}`),
  fc.constantFrom(
    'criticality=critical-plus,tenant=t',
    'criticality=none',
    'tenant=',
    '-1',
    '99999999999999999',
    'tenant=%zz',
  ),
)
const headers = fc.dictionary(fc.constantFrom(...names), value)
const reading = (fields: Record<string, string>) => (name: string) => fields[name]

test('no headers make a stranger anything but what a stranger is, or give more time than there is', () => {
  fc.assert(
    fc.property(
      headers,
      fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
      (fields, limit) => {
        const options = limit === undefined ? {} : { timeoutMs: limit }
        const { timeoutMs, ...rest } = readInbound(reading(fields), options)
        expect(rest).toEqual({})
        if (timeoutMs !== undefined) expect(timeoutMs).toBeGreaterThanOrEqual(0)
        if (limit !== undefined) expect(timeoutMs).toBeLessThanOrEqual(limit)
      },
    ),
    { numRuns: 1_000 },
  )
})

test('no headers of a peer make a context that could not be', () => {
  fc.assert(
    fc.property(headers, fields => {
      const { criticality, tenant, attempt, timeoutMs } = readInbound(reading(fields), { trustPeers: true })
      expect(criticality === undefined || isCriticality(criticality)).toBe(true)
      expect(tenant).not.toBe('')
      expect(Number.isInteger(attempt) && attempt! >= 1 && attempt! <= 1_000).toBe(true)
      const context = openInbound(reading(fields), { trustPeers: true }, 'caller')
      expect(context.attempt).toBe(attempt)
      expect(context.tenant).toBe(tenant)
      expect(context.criticality).toBe(criticality ?? 'critical')
      expect(context.remainingMs).toBeLessThanOrEqual(timeoutMs ?? Infinity)
      context.scope.close()
    }),
    { numRuns: 1_000 },
  )
})

describe('readInbound', () => {
  it.each<[Record<string, string>, number | undefined]>([
    [{}, 1_000],
    [{ 'grpc-timeout': '200m' }, 200],
    [{ 'x-envoy-expected-rq-timeout-ms': '300' }, 300],
    [{ 'grpc-timeout': '200m', 'x-envoy-expected-rq-timeout-ms': '300' }, 200],
    [{ 'grpc-timeout': '1H' }, 1_000],
    [{ 'grpc-timeout': '1H, 1m' }, 1_000],
    [{ 'grpc-timeout': '0n' }, 0],
  ])('takes the shortest of what %j and the listener allow', (fields, timeoutMs) => {
    expect(readInbound(reading(fields), { timeoutMs: 1_000 }).timeoutMs).toBe(timeoutMs)
  })

  it('counts gRPC attempts from 0 and HTTP attempts from 1', () => {
    const attempt = (fields: Record<string, string>): unknown =>
      readInbound(reading(fields), { trustPeers: true }).attempt
    expect(attempt({})).toBe(1)
    expect(attempt({ 'grpc-previous-rpc-attempts': '2' })).toBe(3)
    expect(attempt({ 'x-retry-attempt': '2' })).toBe(2)
    expect(attempt({ 'x-retry-attempt': '0' })).toBe(1)
    expect(attempt({ 'x-retry-attempt': '999999' })).toBe(1_000)
  })

  it('does not take a tenant whose name is absurdly long', () => {
    const tenant = (length: number): unknown =>
      readInbound(reading({ baggage: `tenant=${'x'.repeat(length)}` }), { trustPeers: true }).tenant
    expect(tenant(256)).toHaveLength(256)
    expect(tenant(257)).toBeUndefined()
  })

  it('is read as it was written', () => {
    const context = openInbound(
      reading({ baggage: 'criticality=sheddable,tenant=a%20b' }),
      { trustPeers: true },
      'c',
    )
    const written: string[] = []
    writeBaggage(context, 'x=1', (_name, header) => written.push(header))
    expect(readInbound(reading({ baggage: written[0]! }), { trustPeers: true })).toMatchObject({
      criticality: 'sheddable',
      tenant: 'a b',
    })
  })

  it('refuses limits that are none', () => {
    for (const timeoutMs of [0, -1, Number.NaN, Infinity]) {
      expect(() => checkInbound({ timeoutMs })).toThrow('Expected `timeoutMs` to be a number above 0')
    }
  })
})
