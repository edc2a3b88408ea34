import { describe, expect, test } from 'vitest'
import { ok, oneByOne, parked, start, until } from '../../../test/support/shed-server.ts'
import { adaptive, type Shedder } from '../../shedding/index.ts'
import type { ShedServerOptions } from './shed-server.ts'

describe('what a request is to the shedder', () => {
  async function seen(
    headers: Record<string, string>,
    options: ShedServerOptions = {},
    path = '/users/17?x=1',
  ) {
    const shedder = adaptive()
    const calls: Parameters<Shedder['offer']>[0][] = []
    const { offer } = shedder
    shedder.offer = (call, ...rest) => {
      calls.push(call)
      return offer.call(shedder, call, ...rest)
    }
    const { get } = await start(shedder, ok, options)
    const { status } = await get(path, headers)
    return { call: calls[0]!, status }
  }
  const peer = { baggage: 'criticality=sheddable,tenant=acme', 'x-retry-attempt': '3' }

  test('its route without identifiers; what it says of itself counts for nothing', async () => {
    expect((await seen(peer)).call).toMatchObject({
      route: 'GET /users',
      importance: 1,
      tenant: undefined,
      again: false,
    })
  })

  test('unless peers are trusted', async () => {
    expect((await seen(peer, { trustPeers: true })).call).toMatchObject({
      importance: 3,
      tenant: 'acme',
      again: true,
    })
  })

  test.each([
    ['Grpc-Timeout', '3S', 'deadline'],
    ['X-ENVOY-EXPECTED-RQ-TIMEOUT-MS', '3000', 'deadline'],
    ['Baggage', 'tenant=acme', 'tenant'],
    ['GRPC-previous-rpc-attempts', '1', 'again'],
    ['X-Retry-Attempt', '2', 'again'],
  ] as const)(
    '%s is heard among fields that are like it, however it is written',
    async (name, value, what) => {
      const others = { 'accept-encoding': 'gzip', referer: 'x', 'x-forwarded-hosT': 'y', 'x-grpc-test': 'z' }
      const { call } = await seen({ ...others, [name]: value }, { trustPeers: true })
      const { call: silent } = await seen(others, { trustPeers: true })
      expect(silent).toMatchObject({ deadline: Infinity, tenant: undefined, again: false })
      expect(call[what]).not.toBe(silent[what])
    },
  )

  test('or options say so', async () => {
    const options: ShedServerOptions = {
      route: request => `${request.method}`,
      criticality: () => 'critical-plus',
      tenant: request => request.headers['x-tenant'] as string,
    }
    expect((await seen({ 'x-tenant': 'a' }, options)).call).toMatchObject({
      route: 'GET',
      importance: 0,
      tenant: 'a',
    })
  })

  test('a deadline that has passed is not begun', async () => {
    expect((await seen({ 'X-Envoy-Expected-Rq-Timeout-Ms': '0' })).status).toBe(504)
    const { call } = await seen({ 'x-envoy-expected-rq-timeout-ms': '5000' })
    expect(call.deadline - performance.now()).toBeGreaterThan(3_000)
    expect(call.deadline - performance.now()).toBeLessThanOrEqual(5_000)
  })

  test('one that nobody can make sense of is served', async () => {
    const route = (): string => {
      throw new Error('no route')
    }
    expect((await seen({}, { route })).status).toBe(200)
  })
})

test('what is left of the time of a request that has waited is said once, in one field', async () => {
  const shedder = oneByOne()
  const { waiting, listener } = parked()
  const fields: (string | string[] | undefined)[][] = []
  const { get } = await start(shedder, (request, response) => {
    const { headers } = request
    fields.push([headers['grpc-timeout'], headers['x-envoy-expected-rq-timeout-ms']])
    listener(request, response as never)
  })
  const answers = [get('/', { 'grpc-timeout': '9S' })]
  await until(() => waiting.length === 1)
  answers.push(get('/', { 'grpc-timeout': '9S', 'x-envoy-expected-rq-timeout-ms': '8000' }))
  await until(() => shedder.queued === 1)
  waiting[0]!()
  await until(() => waiting.length === 2)
  expect(fields).toEqual([
    ['9S', undefined],
    // Whoever reads the other field further in would take it to be all there still.
    [undefined, expect.stringMatching(/^7\d{3}$/)],
  ])
  waiting[1]!()
  await Promise.all(answers)
})
