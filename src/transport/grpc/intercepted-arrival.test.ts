/** `serverInterceptor` over handlers of grpc-js's own kind. */
import { status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogClient, CatalogServer } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { currentContext } from '../../core/ambient.ts'
import { chain, gate, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { type Context, createContext, openContext } from '../../core/context.ts'
import type { Outcome } from '../../core/gate.ts'
import { deadline } from '../../timeout/deadline.ts'
import { client } from './client.ts'
import type { PromiseClient } from './client-types.ts'
import { incomingCall } from './method.ts'
import { type ServerInterceptorOptions, serverInterceptor } from './server-interceptor.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (
  implementation: Partial<CatalogServer>,
  options: ServerInterceptorOptions = {},
): Promise<PromiseClient<CatalogClient>> => {
  running = await runCatalog(implementation, { server: { interceptors: [serverInterceptor(options)] } })
  return client(running.generated)
}

const until = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 2))
}

describe('a handler', () => {
  test('finds its context, in unary calls too, which start with the half-close', async () => {
    const seen: (Context | undefined)[] = []
    const catalog = await start({
      getItem(call, done) {
        seen.push(currentContext())
        setTimeout(() => {
          seen.push(currentContext())
          done(null, { id: call.request.id, name: '' })
        }, 1)
      },
      quote(call) {
        seen.push(currentContext())
        call.on('data', ({ id }) => {
          seen.push(currentContext())
          call.write({ id, cents: 1 })
        })
        call.on('end', () => call.end())
      },
    })
    await catalog.getItem({ id: 1 }, createContext({ timeoutMs: 5_000 }))
    for await (const _ of catalog.quote([{ id: 1 }]));
    expect(seen).toHaveLength(4)
    expect(seen.every(context => context !== undefined)).toBe(true)
    expect(seen[0]).toBe(seen[1])
    expect(seen[0]?.remainingMs).toBeLessThanOrEqual(5_000)
    expect(seen[0]?.get(incomingCall)?.method.name).toBe('GetItem')
    expect(seen[2]?.get(incomingCall)?.method.name).toBe('Quote')
  })

  test('has the narrower context that comes through the chain', async () => {
    let remaining = Infinity
    const catalog = await start(
      {
        getItem(call, done) {
          remaining = currentContext()!.remainingMs
          done(null, { id: call.request.id, name: '' })
        },
      },
      { use: chain(deadline({ totalMs: 300 })), trustPeers: true },
    )
    await catalog.getItem({ id: 1 })
    expect(remaining).toBeLessThanOrEqual(300)
  })

  test('that takes too long is overtaken by its deadline, and what it does then is nothing', async () => {
    let context: Context | undefined
    let finish: (() => void) | undefined
    const catalog = await start(
      {
        getItem(_call, done) {
          context = currentContext()
          finish = () => done(null, { id: 1, name: 'late' })
        },
        listItems(call) {
          call.write({ id: 1, name: '' })
          call.on('cancelled', () => {
            call.write({ id: 2, name: 'late' })
            call.end()
          })
        },
      },
      { timeoutMs: 40 },
    )
    await expect(catalog.getItem({ id: 1 })).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED })
    expect(context?.ended).toBe(true)
    finish!()
    const ids: number[] = []
    const read = async (): Promise<void> => {
      for await (const { id } of catalog.listItems({ count: 1 })) ids.push(id)
    }
    await expect(read()).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED })
    expect(ids).toEqual([1])
  })

  test('that nobody waits for any more learns it from its context', async () => {
    let context: Context | undefined
    const catalog = await start({
      getItem() {
        context = currentContext()
      },
    })
    const { context: outer, cancel } = openContext()
    const answer = catalog.getItem({ id: 1 }, outer).catch(() => {})
    await until(() => context !== undefined)
    cancel()
    await answer
    await until(() => context!.ended)
    expect(context?.scope.ending).toBe('cancelled')
  })
})

test('gates are settled with what became of the call', async () => {
  const outcomes: Outcome[] = []
  const catalog = await start(
    {
      getItem(call, done) {
        const { id } = call.request
        if (id === 1) done(null, { id, name: '' })
        else if (id === 2) done({ code: status.INTERNAL, details: '' })
      },
      listItems(call) {
        call.write({ id: 1, name: '' })
      },
    },
    {
      use: chain(
        gate({
          kind: 'other',
          name: 'g',
          admit: () => 0,
          settle: (_ticket, outcome) => outcomes.push(outcome),
        }),
      ),
    },
  )
  await catalog.getItem({ id: 1 })
  await catalog.getItem({ id: 2 }).catch(() => {})
  await catalog.getItem({ id: 3 }, { timeoutMs: 40 }).catch(() => {})
  await until(() => outcomes.length === 3)
  for await (const _ of catalog.listItems({ count: 1 })) break
  await until(() => outcomes.length === 4)
  // A caller whose deadline is over calls off what it waits for, and on a busy machine that is noticed first.
  expect(outcomes).toEqual([
    'success',
    'failure',
    expect.stringMatching(/^(timeout|cancelled)$/),
    'cancelled',
  ])
  expect(systemClock.armed).toBe(0)
})

test('a chain that answers by itself is a mistake, and the caller does not wait for ever', async () => {
  const warned = new Promise<Error>(resolve => process.once('warning', resolve))
  const catalog = await start(
    { getItem() {} },
    {
      use: chain<any, any>(
        layer({ kind: 'fallback', name: 'f' }, () => async () => ({ id: 1, name: '' }) as any),
      ),
    },
  )
  await expect(catalog.getItem({ id: 1 })).rejects.toMatchObject({ code: status.UNKNOWN })
  expect((await warned).message).toContain('answered by itself')
})
