/** What other libraries fall over, between a client of the kit and servers of grpc-js. */
import type { ServerUnaryCall } from '@grpc/grpc-js'
import { createContext } from 'spillway'
import { client, serve } from 'spillway/grpc'
import { afterEach, expect, test } from 'vitest'
import type { CatalogServer, Item, ItemRequest } from './catalog.ts'
import { type RunningCatalog, runCatalog } from './running.ts'

const running: RunningCatalog[] = []
afterEach(() => {
  for (const catalog of running.splice(0)) catalog.stop()
})

async function start(implementation: Partial<CatalogServer>): Promise<RunningCatalog> {
  const made = await runCatalog(implementation)
  running.push(made)
  return made
}

test('a deadline of more than 24.8 days, which a 32-bit number cannot hold, is none of the past for the server', async () => {
  const { generated } = await start({
    getItem(call, callback) {
      // Long enough for a timer that was set for the past.
      setTimeout(
        () => callback(null, { id: call.request.id, name: call.cancelled ? 'cancelled' : 'there' }),
        30,
      )
    },
  })
  const day = 86_400_000
  for (const days of [24.85, 24.86, 30, 1e6]) {
    const item = await client(generated).getItem({ id: 1 }, createContext({ timeoutMs: days * day }))
    expect([days, item.name]).toEqual([days, 'there'])
  }
})

test('calls that a handler makes leave no listener on the call that it answers', async () => {
  const { generated: backend } = await start({
    getItem(call, callback) {
      callback(null, { id: call.request.id, name: 'from below' })
    },
  })
  const below = client(backend)
  const listeners: number[] = []
  let raw: ServerUnaryCall<ItemRequest, Item> | undefined
  type Implementation = Parameters<typeof serve<CatalogServer>>[0]
  const partial: Partial<Implementation> = {
    async getItem({ id }, context) {
      for (let i = 0; i < 50; i++) {
        await below.getItem({ id }, context)
        listeners.push(raw!.listenerCount('cancelled'))
      }
      return { id, name: 'done' }
    },
  }
  const implementation = serve<CatalogServer>(partial as Implementation)
  const { generated } = await start({
    getItem(call, callback) {
      raw = call
      implementation.getItem(call, callback)
    },
  })
  const warnings: string[] = []
  const note = (warning: Error): void => void warnings.push(warning.name)
  process.on('warning', note)
  try {
    expect(await client(generated).getItem({ id: 7 })).toMatchObject({ name: 'done' })
    await new Promise(setImmediate)
  } finally {
    process.off('warning', note)
  }
  expect(listeners).toHaveLength(50)
  expect(Math.max(...listeners)).toBeLessThanOrEqual(1)
  expect(warnings).toEqual([])
})
