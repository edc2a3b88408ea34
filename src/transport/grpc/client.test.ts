import { Client, credentials, Metadata, status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CatalogClient, type CatalogServer } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { chain, layer } from '../../core/chain.ts'
import { client } from './client.ts'
import { incomingCall, outgoingCall } from './method.ts'
import { serve } from './serve.ts'

let running: RunningCatalog
beforeAll(async () => {
  running = await runCatalog(
    serve<CatalogServer>({
      getItem: ({ id }, context) => ({
        id,
        name: String(context.get(incomingCall)?.metadata.get('authorization')[0] ?? 'nobody'),
      }),
      *listItems({ count }) {
        for (let id = 0; id < count; id++) yield { id, name: '' }
      },
      async importItems(items) {
        let count = 0
        for await (const _ of items) count++
        return { count }
      },
      async *quote(requests) {
        for await (const { id } of requests) yield { id, cents: id * 100 }
      },
    }),
  )
})
afterAll(() => running.stop())

const connect = { credentials: credentials.createInsecure() }

describe('client', () => {
  test('takes a generated client, and each kind of method is what it should be', async () => {
    const catalog = client(running.generated)
    expect(await catalog.getItem({ id: 7 })).toEqual({ id: 7, name: 'nobody' })
    const items = []
    for await (const item of catalog.listItems({ count: 3 })) items.push(item.id)
    expect(items).toEqual([0, 1, 2])
    expect(
      await catalog.importItems([
        { id: 1, name: '' },
        { id: 2, name: '' },
      ]),
    ).toEqual({ count: 2 })
    const prices = []
    for await (const { cents } of catalog.quote([{ id: 1 }, { id: 2 }])) prices.push(cents)
    expect(prices).toEqual([100, 200])
  })

  test('takes a constructor and an address, and closes what it opened', async () => {
    const catalog = client(CatalogClient, { address: `127.0.0.1:${running.port}`, ...connect })
    expect(await catalog.getItem({ id: 1 })).toEqual({ id: 1, name: 'nobody' })
    catalog.close()
    await expect(catalog.getItem({ id: 1 })).rejects.toThrow(/shut ?down|closed/i)
  })

  test('puts `use` around every call, and `methods` around those of one method, inside', async () => {
    const seen: string[] = []
    const note = (name: string) =>
      layer({ kind: 'other', name }, next => (request, context) => {
        seen.push(`${name} ${context.get(outgoingCall)?.method.name}`)
        return next(request, context)
      })
    const catalog = client(running.generated, {
      use: chain(note('all')),
      methods: { getItem: chain(note('one')) },
    })
    await catalog.getItem({ id: 1 })
    await catalog.importItems([])
    for await (const _ of catalog.listItems({ count: 1 })) seen.push('item')
    expect(seen).toEqual(['all GetItem', 'one GetItem', 'all ImportItems', 'all ListItems', 'item'])
  })

  test('lets middleware add metadata, and leaves that of the caller alone', async () => {
    const authorize = layer({ kind: 'other', name: 'authorize' }, next => (request, context) => {
      context.get(outgoingCall)?.metadata.set('authorization', 'Bearer 1')
      return next(request, context)
    })
    const metadata = new Metadata()
    const catalog = client(running.generated, { use: chain(authorize) })
    expect((await catalog.getItem({ id: 1 }, { metadata })).name).toBe('Bearer 1')
    expect(metadata.toJSON()).toEqual({})
  })

  test('marks the methods that may be called twice', async () => {
    const seen: boolean[] = []
    const note = layer({ kind: 'other', name: 'note' }, next => (request, context) => {
      seen.push(context.idempotent)
      return next(request, context)
    })
    const catalog = client(running.generated, { use: chain(note), idempotent: ['getItem'] })
    await catalog.getItem({ id: 1 })
    await catalog.importItems([])
    expect(seen).toEqual([true, false])
  })

  test('fails with the very error of grpc-js', async () => {
    const catalog = client(CatalogClient, { address: `127.0.0.1:${running.port}`, ...connect })
    const error = await catalog.getItem(undefined as never).catch(error => error)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ code: status.INTERNAL })
    expect(error.metadata).toBeInstanceOf(Metadata)
    catalog.close()
  })
})

describe('what is wrong with the options is said at once', () => {
  test.each([
    ['an option that does not exist', { uses: chain() }, /client has no option `uses`/],
    ['an address for a client that has one', { address: 'x' }, /client has no option `address`/],
    ['a chain that is none', { use: 5 }, /Expected `use` to be a function, got 5/],
    [
      'a chain for one method that is none',
      { methods: { getItem: 5 } },
      /`methods.getItem` to be a function/,
    ],
    [
      'a method that does not exist',
      { methods: { getItme: chain() } },
      /no method `getItme`; it has getItem/,
    ],
    ['an idempotent method that does not exist', { idempotent: ['get'] }, /no method `get`/],
  ])('%s', (_what, options, message) => {
    expect(() => client(running.generated, options as never)).toThrow(message)
  })

  test.each([
    ['no address', { ...connect }, /Expected `address` to be a string that is not empty, got undefined/],
    ['no credentials', { address: 'x' }, /Expected `credentials` to be channel credentials, got undefined/],
  ])('%s', (_what, options, message) => {
    expect(() => client(CatalogClient, options as never)).toThrow(message)
  })

  test('a client that does not say what its methods are', () => {
    expect(() => client(new Client('localhost:1', connect.credentials))).toThrow(/pass its `service`/)
  })
})
