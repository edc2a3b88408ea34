/** `client` against a server of grpc-js alone. */
import { Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogClient, CatalogServer, Item } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { isFinal } from '../../core/advice.ts'
import { chain, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { createContext, openContext } from '../../core/context.ts'
import { isRejection } from '../../core/rejection.ts'
import { client } from './client.ts'
import type { PromiseClient } from './client-types.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (implementation: Partial<CatalogServer>): Promise<PromiseClient<CatalogClient>> => {
  running = await runCatalog(implementation)
  return client(running.generated)
}

/** Resolves once `what` is true; the test's own time bounds it. */
const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2))
}

const failure = (code: status, details: string, metadata?: Metadata): ServerErrorResponse =>
  Object.assign(new Error(details), { code, details, ...(metadata === undefined ? {} : { metadata }) })

/** Tries again as often as it likes, whatever the error. */
const retry = (attempts: number) =>
  layer({ kind: 'retry', name: 'retry', repeats: true }, next => async (request, context) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request, context.with({ attempt }))
      } catch (error) {
        if (attempt === attempts || isFinal(error)) throw error
      }
    }
  })

describe('a unary call', () => {
  test('tells the server what is left, which try it is, and whose', async () => {
    let left = 0
    let sent: Metadata | undefined
    const catalog = await start({
      getItem(call, done) {
        left = Number(call.getDeadline()) - Date.now()
        sent = call.metadata
        done(null, { id: 1, name: '' })
      },
    })
    await catalog.getItem(
      { id: 1 },
      createContext({ timeoutMs: 5_000, criticality: 'sheddable', tenant: 'blue', attempt: 2 }),
    )
    expect(left).toBeGreaterThan(1_000)
    expect(left).toBeLessThanOrEqual(5_000)
    expect(sent?.get('baggage')).toEqual(['criticality=sheddable,tenant=blue'])
    expect(sent?.get('grpc-previous-rpc-attempts')).toEqual(['1'])
  })

  test('without a deadline has none at the server either', async () => {
    let deadline: Date | number = 0
    const catalog = await start({
      getItem(call, done) {
        deadline = call.getDeadline()
        done(null, { id: 1, name: '' })
      },
    })
    await catalog.getItem({ id: 1 })
    expect(deadline).toBe(Infinity)
  })

  test('that outlives its deadline fails with the reason of its context, and is cancelled at the server', async () => {
    let cancelled = false
    const catalog = await start({
      getItem(call) {
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    const { context } = openContext({ timeoutMs: 40 })
    const error = await catalog.getItem({ id: 1 }, context).catch(error => error)
    expect(isRejection(error, 'deadline-exceeded')).toBe(true)
    expect(error).toBe(context.scope.reason)
    await until(() => cancelled)
  })

  test('that nobody waits for any more is cancelled at the server', async () => {
    let arrived = false
    let cancelled = false
    const catalog = await start({
      getItem(call) {
        arrived = true
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    const { context, cancel } = openContext()
    const answer = catalog.getItem({ id: 1 }, context).catch(error => error)
    await until(() => arrived)
    cancel()
    expect(isRejection(await answer, 'cancelled')).toBe(true)
    await until(() => cancelled)
  })

  test('hands headers and trailers to whoever asks', async () => {
    const catalog = await start({
      getItem(call, done) {
        const headers = new Metadata()
        headers.set('served-by', 'a')
        call.sendMetadata(headers)
        const trailers = new Metadata()
        trailers.set('took', '5')
        done(null, { id: 1, name: '' }, trailers)
      },
    })
    const seen: unknown[] = []
    await catalog.getItem(
      { id: 1 },
      {
        onHeaders: headers => seen.push(headers.get('served-by')[0]),
        onTrailers: trailers => seen.push(trailers.get('took')[0]),
      },
    )
    expect(seen).toEqual(['a', '5'])
  })

  test('can be made again', async () => {
    const attempts: string[] = []
    running = await runCatalog({
      getItem(call, done) {
        attempts.push(String(call.metadata.get('grpc-previous-rpc-attempts')[0] ?? 'first'))
        if (attempts.length < 3) done(failure(status.UNAVAILABLE, 'not yet'))
        else done(null, { id: 1, name: 'third time' })
      },
    })
    const catalog = client(running.generated, { use: chain(retry(3)) })
    expect((await catalog.getItem({ id: 1 })).name).toBe('third time')
    expect(attempts).toEqual(['first', '1', '2'])
  })
})

describe('a stream of answers', () => {
  const counting = (sent: { count: number }): Partial<CatalogServer> => ({
    listItems(call) {
      const write = (): void => {
        while (!call.cancelled) {
          if (!call.write({ id: sent.count++, name: 'x'.repeat(1_000) })) {
            call.once('drain', write)
            return
          }
        }
      }
      write()
    },
  })

  test('begins when it is asked for its first message', async () => {
    let calls = 0
    const catalog = await start({
      listItems(call) {
        calls++
        call.end()
      },
    })
    const items = catalog.listItems({ count: 1 })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(calls).toBe(0)
    expect((await items.next()).done).toBe(true)
    expect(calls).toBe(1)
  })

  test('is sent no faster than it is read', async () => {
    const sent = { count: 0 }
    const catalog = await start(counting(sent))
    const items = catalog.listItems({ count: 1 })
    for (let i = 0; i < 20; i++) expect((await items.next()).value?.id).toBe(i)
    // However long one waits, only the buffers in between fill up: of HTTP/2 and of the streams at both ends.
    let before = -1
    while (before !== sent.count) {
      before = sent.count
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(sent.count).toBeLessThan(5_000)
    await items.return?.()
  })

  test('that its reader leaves is cancelled', async () => {
    const sent = { count: 0 }
    let cancelled = false
    const catalog = await start({
      listItems(call) {
        call.on('cancelled', () => {
          cancelled = true
        })
        counting(sent).listItems!(call)
      },
    })
    for await (const item of catalog.listItems({ count: 1 })) if (item.id === 3) break
    await until(() => cancelled)
  })

  test('hands out what came before a failure, and then the failure', async () => {
    const catalog = await start({
      listItems(call) {
        call.write({ id: 1, name: '' })
        call.write({ id: 2, name: '' })
        // What is still on its way when a call fails, is lost in any gRPC.
        setTimeout(() => call.emit('error', failure(status.DATA_LOSS, 'torn')), 50)
      },
    })
    const seen: number[] = []
    const read = async (): Promise<void> => {
      for await (const item of catalog.listItems({ count: 1 })) seen.push(item.id)
    }
    await expect(read()).rejects.toMatchObject({ code: status.DATA_LOSS, details: 'torn' })
    expect(seen).toEqual([1, 2])
  })

  test('ends with the deadline of its context', async () => {
    const catalog = await start({
      listItems(call) {
        call.write({ id: 1, name: '' })
      },
    })
    const { context } = openContext({ timeoutMs: 60 })
    const items = catalog.listItems({ count: 1 }, context)
    expect((await items.next()).value?.id).toBe(1)
    const error = await items.next().catch(error => error)
    expect(isRejection(error, 'deadline-exceeded')).toBe(true)
    expect((await items.next()).done).toBe(true)
  })

  test('may begin again while nothing has come, and not after', async () => {
    let calls = 0
    running = await runCatalog({
      listItems(call) {
        calls++
        if (calls === 2) call.write({ id: 1, name: '' })
        setTimeout(() => call.emit('error', failure(status.UNAVAILABLE, `call ${calls}`)), 30)
      },
    })
    const catalog = client(running.generated, { use: chain(retry(5)) })
    const items = catalog.listItems({ count: 1 })
    expect((await items.next()).value?.id).toBe(1)
    await expect(items.next()).rejects.toMatchObject({ details: 'call 2' })
    // Nor does the retry go on behind the back of the reader.
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(calls).toBe(2)
  })
})

describe('a stream of requests', () => {
  test('is read no faster than it is sent', async () => {
    let made = 0
    const catalog = await start({
      importItems(call, done) {
        call.once('data', () => {
          call.pause()
          setTimeout(() => done(null, { count: made }), 200)
        })
      },
    })
    function* items(): Generator<Item> {
      for (let id = 0; id < 50_000; id++) {
        made++
        yield { id, name: 'x'.repeat(1_000) }
      }
    }
    const { count } = await catalog.importItems(items())
    // grpc-js keeps a megabyte of a call, to be able to send it again.
    expect(count).toBeLessThan(5_000)
  })

  test('stops when the server has answered', async () => {
    let stopped = false
    const catalog = await start({
      importItems(call, done) {
        call.once('data', () => done(null, { count: 1 }))
      },
    })
    async function* items(): AsyncGenerator<Item> {
      try {
        for (;;) {
          yield { id: 1, name: '' }
          await new Promise(resolve => setTimeout(resolve, 5))
        }
      } finally {
        stopped = true
      }
    }
    expect(await catalog.importItems(items())).toEqual({ count: 1 })
    await until(() => stopped)
  })

  test('that fails fails the call, and the server hears that it was cancelled', async () => {
    let cancelled = false
    const catalog = await start({
      importItems(call) {
        call.on('data', () => {})
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    const broken = new Error('no more items')
    async function* items(): AsyncGenerator<Item> {
      yield { id: 1, name: '' }
      await new Promise(resolve => setTimeout(resolve, 30))
      throw broken
    }
    await expect(catalog.importItems(items())).rejects.toBe(broken)
    await until(() => cancelled)
  })

  test('that is none is an error, and no call is left behind', async () => {
    const catalog = await start({
      importItems(_call, done) {
        done(null, { count: 0 })
      },
    })
    const context = createContext({ timeoutMs: 10_000 })
    await expect(catalog.importItems(5 as never, context)).rejects.toThrow(/iterable/)
    expect(systemClock.armed).toBe(0)
  })

  test('can be sent again if it can be read again, and is given up on if not', async () => {
    let calls = 0
    const received: number[][] = []
    running = await runCatalog({
      importItems(call, done) {
        const ids: number[] = []
        received.push(ids)
        calls++
        call.on('data', ({ id }) => ids.push(id))
        call.on('end', () => {
          if (calls % 2 === 1) done(failure(status.UNAVAILABLE, 'once more'))
          else done(null, { count: ids.length })
        })
      },
    })
    const catalog = client(running.generated, { use: chain(retry(3)) })
    const items = [1, 2].map(id => ({ id, name: '' }))
    expect(await catalog.importItems(items)).toEqual({ count: 2 })
    expect(received).toEqual([
      [1, 2],
      [1, 2],
    ])
    const error = await catalog.importItems(items.values()).catch(error => error)
    expect(error).toMatchObject({ details: 'once more' })
    expect(isFinal(error)).toBe(true)
    expect(calls).toBe(3)
  })
})

describe('a conversation', () => {
  test('goes to and fro', async () => {
    const catalog = await start({
      quote(call) {
        call.on('data', ({ id }) => call.write({ id, cents: id * 100 }))
        call.on('end', () => call.end())
      },
    })
    const answered: number[] = []
    async function* requests(): AsyncGenerator<{ id: number }> {
      yield { id: 1 }
      await until(() => answered.length === 1)
      yield { id: 2 }
    }
    for await (const { cents } of catalog.quote(requests())) answered.push(cents)
    expect(answered).toEqual([100, 200])
  })

  test('ends on both sides when its context ends', async () => {
    let cancelled = false
    let stopped = false
    const catalog = await start({
      quote(call) {
        call.on('data', ({ id }) => call.write({ id, cents: 1 }))
        call.on('cancelled', () => {
          cancelled = true
        })
      },
    })
    async function* requests(): AsyncGenerator<{ id: number }> {
      try {
        for (;;) {
          yield { id: 1 }
          await new Promise(resolve => setTimeout(resolve, 5))
        }
      } finally {
        stopped = true
      }
    }
    const { context, cancel } = openContext()
    const prices = catalog.quote(requests(), context)
    await prices.next()
    cancel()
    expect(isRejection(await drained(prices), 'cancelled')).toBe(true)
    await until(() => cancelled && stopped)
  })
})

/** What a stream ends with. */
async function drained(messages: AsyncIterable<unknown>): Promise<unknown> {
  try {
    for await (const _ of messages);
    return undefined
  } catch (error) {
    return error
  }
}
