/** Faults where they are meant to be put: in real HTTP and gRPC servers and clients, switched while they run. */
import { createServer } from 'node:http'
import { Metadata, status } from '@grpc/grpc-js'
import { chain, createContext, currentContext, isRejection, type Protection, withContext } from 'spillway'
import { byHeader, fault } from 'spillway/fault'
import { protectFetch } from 'spillway/fetch'
import { client, clientInterceptor, serve, serverInterceptor } from 'spillway/grpc'
import { contextOf, protectServer } from 'spillway/http'
import { deadline } from 'spillway/timeout'
import { afterEach, describe, expect, it } from 'vitest'
import type { CatalogServer } from '../grpc/catalog.ts'
import { runCatalog } from '../grpc/running.ts'
import { running } from '../support/http.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const never = () => fault()
const byFaultHeader = [
  { name: 'asked for', percent: 100, abort: 'never' as const, when: byHeader('x-fault') },
]
const forCanary = [{ name: 'canary', percent: 100, abort: 'never' as const, tenants: ['canary'] }]
const forLocal = [{ name: 'local', percent: 100, abort: 'never' as const, callers: ['127.0.0.1'] }]
const marked = { 'x-fault': '1', baggage: 'tenant=canary' }

async function took<T>(work: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const since = performance.now()
  return { answer: await work(), ms: performance.now() - since }
}

describe('in an HTTP server', () => {
  const start = async (chaos: Protection, trustPeers: boolean): Promise<string> => {
    const handled = createServer((request, response) => response.end(contextOf(request)?.tenant ?? 'none'))
    const server = await running(protectServer(handled, chaos, { trustPeers }))
    closing.push(() => server.stop())
    return server.url
  }

  it('nothing is broken until it is asked for', async () => {
    const chaos = never()
    const url = await start(chaos, true)
    expect((await fetch(url, { headers: marked })).status).toBe(200)
    chaos.update({ rules: byFaultHeader })
    expect((await fetch(url, { headers: marked })).status).toBe(200)
    chaos.update({ enabled: true })
    expect((await fetch(url, { headers: marked })).status).toBe(503)
    expect((await fetch(url)).status).toBe(200)
    chaos.update({ enabled: false })
    expect((await fetch(url, { headers: marked })).status).toBe(200)
    expect(chaos.snapshot().injected).toEqual({ 'asked for': 1 })
  })

  it.each([
    ['a header', byFaultHeader],
    ['a tenant', forCanary],
  ])('%s switches a fault on for a peer and never for a stranger', async (_name, rules) => {
    for (const trusted of [true, false]) {
      const url = await start(fault({ enabled: true, rules }), trusted)
      expect((await fetch(url, { headers: marked })).status).toBe(trusted ? 503 : 200)
      expect((await fetch(url)).status).toBe(200)
    }
  })

  it('the address of a caller does, whoever it is: that is nothing that a header says', async () => {
    const url = await start(fault({ enabled: true, rules: forLocal }), false)
    expect((await fetch(url)).status).toBe(503)
  })

  it('a header of a stranger switches none on in the calls that are made for it either', async () => {
    const chaos = fault({ enabled: true, rules: byFaultHeader })
    const inner = chaos(async () => 'fine')
    const handled = createServer(async (request, response) => {
      const passedOn = { headers: { 'x-fault': request.headers['x-fault'] } }
      response.end(await inner(passedOn, contextOf(request)!).catch(() => 'broken'))
    })
    for (const trustPeers of [true, false]) {
      const server = await running(
        protectServer(createServer(handled.listeners('request')[0] as never), chain(), { trustPeers }),
      )
      closing.push(() => server.stop())
      const answer = await fetch(server.url, { headers: marked })
      expect(await answer.text()).toBe(trustPeers ? 'broken' : 'fine')
    }
  })
})

describe('in fetch', () => {
  it('hangs, errors and a slow line are met by the chain outside', async () => {
    const body = 'x'.repeat(4_000)
    const server = await running((_request, response) => response.end(body))
    closing.push(() => server.stop())
    const chaos = fault({ enabled: true, rules: [{ percent: 100, hang: true }] })
    const call = protectFetch(chain(deadline({ totalMs: 30 }), chaos))
    await expect(call(server.url)).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    expect(chaos.snapshot().hanging).toBe(0)
    chaos.update({ rules: [{ percent: 100, error: () => new TypeError('fetch failed') }] })
    await expect(call(server.url)).rejects.toThrow('fetch failed')
    chaos.update({ rules: [{ percent: 100, bytesPerSecond: 80_000 }] })
    const { answer, ms } = await took(() => protectFetch(chaos)(server.url))
    expect(await answer.text()).toBe(body)
    expect(ms).toBeGreaterThan(45)
  })

  it('a call that hangs goes on when the faults are switched off', async () => {
    const server = await running((_request, response) => response.end('at last'))
    closing.push(() => server.stop())
    const chaos = fault({ enabled: true, rules: [{ percent: 100, hang: true }] })
    const answer = protectFetch(chaos)(server.url)
    while (chaos.snapshot().hanging === 0) await new Promise(setImmediate)
    chaos.update({ enabled: false })
    expect(await (await answer).text()).toBe('at last')
  })
})

describe('in gRPC', () => {
  const metadata = (): Metadata => {
    const sent = new Metadata()
    for (const [name, value] of Object.entries(marked)) sent.set(name, value)
    return sent
  }
  const answering = { getItem: ({ id }: { id: number }) => ({ id, name: 'x'.repeat(2_000) }) }

  const served = (chaos: Protection, trustPeers: boolean) =>
    runCatalog(serve<CatalogServer>(answering as never, { use: chaos, trustPeers }))
  const intercepted = (chaos: Protection, trustPeers: boolean) =>
    runCatalog(
      { getItem: (call, callback) => callback(null, { id: call.request.id, name: '' }) },
      { server: { interceptors: [serverInterceptor({ use: chaos, trustPeers })] } },
    )

  for (const [how, start] of [
    ['served', served],
    ['intercepted', intercepted],
  ] as const) {
    it.each([
      ['metadata', byFaultHeader],
      ['a tenant', forCanary],
    ])(`%s switches a fault on for a peer and never for a stranger (${how})`, async (_name, rules) => {
      for (const trusted of [true, false]) {
        const catalog = await start(fault({ enabled: true, rules }), trusted)
        closing.push(() => catalog.stop())
        const calls = client(catalog.generated)
        const answer = calls.getItem({ id: 1 }, { metadata: metadata() })
        if (trusted) {
          const error = await answer.catch((error: unknown) => error)
          expect(error).toMatchObject({ code: status.UNAVAILABLE })
        } else expect(await answer).toMatchObject({ id: 1 })
        expect(await calls.getItem({ id: 2 })).toMatchObject({ id: 2 })
      }
    })
  }

  it('in a client, by what it sends, its line, and as an interceptor', async () => {
    const catalog = await served(never(), false)
    closing.push(() => catalog.stop())
    const chaos = fault({ enabled: true, rules: byFaultHeader })
    const calls = client(catalog.generated, { use: chaos })
    const refused = await calls.getItem({ id: 1 }, { metadata: metadata() }).catch((error: unknown) => error)
    expect(isRejection(refused, 'fault-injected')).toBe(true)
    expect(await calls.getItem({ id: 1 })).toMatchObject({ id: 1 })

    chaos.update({ rules: [{ percent: 100, bytesPerSecond: 40_000 }] })
    expect((await took(() => calls.getItem({ id: 1 }))).ms).toBeGreaterThan(45)

    chaos.update({ rules: [{ percent: 100, hang: true }] })
    const interceptors = [clientInterceptor({ use: chain(deadline({ totalMs: 30 }), chaos) })]
    const error = await new Promise(resolve => {
      catalog.generated.getItem({ id: 1 }, new Metadata(), { interceptors }, resolve)
    })
    expect(error).toMatchObject({ code: status.DEADLINE_EXCEEDED })
    expect(chaos.snapshot().hanging).toBe(0)
  })

  it('in the function behind a server, the metadata of the incoming call counts', async () => {
    const chaos = fault({ enabled: true, rules: byFaultHeader })
    const inner = chaos(async (id: number) => `item ${id}`)
    const look = async ({ id }: { id: number }) => ({
      id,
      name: await inner(id, currentContext()!).catch(() => 'broken'),
    })
    const catalog = await runCatalog(serve<CatalogServer>({ getItem: look } as never, { trustPeers: true }))
    closing.push(() => catalog.stop())
    const calls = client(catalog.generated)
    expect(await calls.getItem({ id: 1 }, { metadata: metadata() })).toEqual({ id: 1, name: 'broken' })
    expect(await calls.getItem({ id: 1 })).toEqual({ id: 1, name: 'item 1' })
    const context = createContext({ tenant: 'canary' })
    expect(await withContext(context, () => inner(2))).toBe('item 2')
  })
})
