/** The streams of `serve`. */
import { PassThrough } from 'node:stream'
import { Metadata, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogServer, Item, Price } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { chain, layer } from '../../core/chain.ts'
import { type Context, openContext, rootContext } from '../../core/context.ts'
import { client } from './client.ts'
import { receiver } from './receiver.ts'
import { type ServeOptions, serve } from './serve.ts'
import type { Implementation } from './server-types.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (
  implementation: Partial<Implementation<CatalogServer>>,
  options: ServeOptions<CatalogServer> = {},
): Promise<RunningCatalog> => {
  running = await runCatalog(
    serve<CatalogServer>(implementation as Implementation<CatalogServer>, { onError() {}, ...options }),
  )
  return running
}

const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2))
}

const big = 'x'.repeat(1_000)

describe('a stream of answers', () => {
  test('is made no faster than the caller reads', async () => {
    let made = 0
    const { generated } = await start({
      *listItems() {
        for (;;) yield { id: made++, name: big }
      },
    })
    const call = generated.listItems({ count: 1 })
    call.on('error', () => {})
    await new Promise(resolve => call.once('data', resolve))
    call.pause()
    let before = -1
    while (before !== made) {
      before = made
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(made).toBeLessThan(5_000)
    call.cancel()
  })

  test('is stopped when the caller hangs up: its `finally` runs', async () => {
    let stopped = 0
    const { generated } = await start({
      async *listItems(_request, context) {
        try {
          for (;;) {
            yield { id: 1, name: '' }
            await new Promise<void>(resolve => {
              setTimeout(resolve, 5)
              context.signal.addEventListener('abort', () => resolve())
            })
          }
        } finally {
          stopped++
        }
      },
    })
    const catalog = client(generated)
    for await (const _ of catalog.listItems({ count: 1 })) break
    await until(() => stopped === 1)
    const call = generated.listItems({ count: 1 })
    call.on('error', () => {})
    call.once('data', () => call.cancel())
    await until(() => stopped === 2)
  })

  test('may be an array, or a promise of one', async () => {
    const items: Item[] = [1, 2].map(id => ({ id, name: '' }))
    const { generated } = await start({ listItems: async () => items })
    const seen: Item[] = []
    for await (const item of client(generated).listItems({ count: 1 })) seen.push(item)
    expect(seen).toEqual(items)
  })

  test('that is none is an error of the server', async () => {
    const errors: unknown[] = []
    const { generated } = await start(
      { listItems: (() => 5) as never },
      { onError: error => errors.push(error) },
    )
    await expect(client(generated).listItems({ count: 1 }).next()).rejects.toMatchObject({
      code: status.UNKNOWN,
    })
    expect(String(errors[0])).toMatch(/iterable/)
  })

  test('ends with the failure of what makes it, after what was made', async () => {
    const trailers = new Metadata()
    trailers.set('why', 'torn')
    const { generated } = await start({
      async *listItems() {
        yield { id: 1, name: '' }
        await new Promise(resolve => setTimeout(resolve, 50))
        throw { code: status.DATA_LOSS, details: 'torn', metadata: trailers }
      },
    })
    const items = client(generated).listItems({ count: 1 })
    expect((await items.next()).value?.id).toBe(1)
    const error = await items.next().catch(error => error)
    expect(error).toMatchObject({ code: status.DATA_LOSS, details: 'torn' })
    expect(error.metadata.get('why')).toEqual(['torn'])
  })

  test('ends when the deadline passes, though its maker sleeps', async () => {
    const { generated } = await start(
      {
        async *listItems() {
          yield { id: 1, name: '' }
          await new Promise(() => {})
        },
      },
      { timeoutMs: 60 },
    )
    const items = client(generated).listItems({ count: 1 })
    expect((await items.next()).value?.id).toBe(1)
    await expect(items.next()).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED })
  })

  const orElse = (instead: Item[]) =>
    layer(
      { kind: 'fallback', name: 'fallback' },
      next => (request, context) => next(request, context).catch(() => instead as never),
    )

  test('may be replaced by the chain before it has begun, and not after', async () => {
    const { generated } = await start(
      {
        async *listItems({ count }) {
          if (count === 2) {
            yield { id: 1, name: '' }
            await new Promise(resolve => setTimeout(resolve, 50))
          }
          throw { code: status.UNAVAILABLE, details: 'broken' }
        },
      },
      { use: chain<any, any>(orElse([{ id: 7, name: 'stale' }])) },
    )
    const catalog = client(generated)
    const seen: number[] = []
    for await (const { id } of catalog.listItems({ count: 1 })) seen.push(id)
    expect(seen).toEqual([7])
    const begun = catalog.listItems({ count: 2 })
    expect((await begun.next()).value?.id).toBe(1)
    await expect(begun.next()).rejects.toMatchObject({ code: status.UNAVAILABLE, details: 'broken' })
  })
})

describe('a stream of requests', () => {
  test('is read no faster than the handler asks', async () => {
    let open: (() => void) | undefined
    const { generated } = await start({
      async importItems(items) {
        let count = 0
        for await (const _ of items) {
          if (++count === 3) await new Promise<void>(resolve => (open = resolve))
        }
        return { count }
      },
    })
    let written = 0
    const call = generated.importItems(() => {})
    const write = (): void => {
      while (written < 20_000) {
        written++
        if (!call.write({ id: 1, name: big })) {
          call.once('drain', write)
          return
        }
      }
      call.end()
    }
    write()
    await until(() => open !== undefined)
    let before = -1
    while (before !== written) {
      before = written
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(written).toBeLessThan(5_000)
    open!()
    await until(() => written === 20_000)
  })

  test('may be answered before it has ended', async () => {
    const { generated } = await start({
      async importItems(items) {
        for await (const { id } of items) return { count: id }
        return { count: -1 }
      },
    })
    expect(await client(generated).importItems([4, 5, 6].map(id => ({ id, name: '' })))).toEqual({ count: 4 })
  })

  test('fails when the caller hangs up, with the reason of the context', async () => {
    let failure: unknown
    let context: Context | undefined
    const receive = receiver(
      async (items: AsyncIterable<unknown>, given) => {
        context = given
        try {
          for await (const _ of items);
        } catch (error) {
          failure = error
        }
        return { count: 0 }
      },
      { use: chain(), ambient: false, onError() {}, inbound: {} },
    )
    // As it comes from a client in Node: the end of the stream first, and that it was cut off right after.
    const call = Object.assign(new PassThrough({ objectMode: true }), {
      cancelled: false,
      metadata: new Metadata(),
      getPath: () => '/shop.Catalog/ImportItems',
      getPeer: () => 'somewhere:1',
      getDeadline: () => Infinity,
    })
    receive(call as never, () => {})
    call.write({ id: 1, name: '' })
    call.end()
    call.once('end', () => setImmediate(() => call.emit('cancelled', 'cancelled')))
    await until(() => failure !== undefined)
    expect(failure).toBe(context?.scope.reason)
    expect(failure).toMatchObject({ reason: 'cancelled' })
  })

  test('that was cut off ends the context too', async () => {
    let context: Context | undefined
    const { generated } = await start({
      async importItems(items, given) {
        context = given
        for await (const _ of items);
        await new Promise(() => {})
        return { count: 0 }
      },
    })
    const call = generated.importItems(() => {})
    call.write({ id: 1, name: '' })
    setTimeout(() => call.cancel(), 30)
    await until(() => context?.scope.ending === 'cancelled')
  })
})

test('a conversation ends on both sides when either has enough', async () => {
  let stopped = 0
  const { generated } = await start({
    async *quote(requests): AsyncGenerator<Price> {
      try {
        for await (const { id } of requests) {
          if (id === 3) return
          yield { id, cents: id }
        }
      } finally {
        stopped++
      }
    },
  })
  const catalog = client(generated)
  const cents: number[] = []
  for await (const price of catalog.quote([1, 2, 3, 4].map(id => ({ id })))) cents.push(price.cents)
  expect(cents).toEqual([1, 2])
  const { context, cancel } = openContext()
  const open = catalog.quote(
    (async function* () {
      yield { id: 1 }
      await new Promise(() => {})
    })(),
    context,
  )
  await open.next()
  cancel()
  await expect(open.next()).rejects.toMatchObject({ reason: 'cancelled' })
  await until(() => stopped === 2)
})

test('a chain that loses the context is told so, and the caller is answered', async () => {
  const errors: unknown[] = []
  const lose = layer({ kind: 'other', name: 'lose' }, next => request => next(request, rootContext))
  const { generated } = await start(
    { getItem: ({ id }) => ({ id, name: '' }), listItems: () => [] },
    { use: chain(lose), onError: error => errors.push(error) },
  )
  const catalog = client(generated)
  await expect(catalog.getItem({ id: 1 })).rejects.toMatchObject({ code: status.UNKNOWN })
  await expect(catalog.listItems({ count: 1 }).next()).rejects.toMatchObject({ code: status.UNKNOWN })
  expect(errors.map(String)).toEqual([expect.stringContaining('derived'), expect.stringContaining('derived')])
})
