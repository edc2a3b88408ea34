import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { withContext } from '../core/ambient.ts'
import { createContext } from '../core/context.ts'
import { claimStorePrefix } from './config-checks.ts'
import { fixedWindow } from './fixed-window.ts'

const warned = vi.fn()
beforeEach(() => {
  process.on('warning', warned)
})
afterEach(() => {
  process.off('warning', warned)
  warned.mockClear()
})

async function codes(): Promise<string[]> {
  await new Promise(setImmediate)
  return warned.mock.calls.map(([warning]) => warning.code)
}

describe('a limiter that is built per request', () => {
  it('is found by the request that is being served', async () => {
    withContext(createContext(), () => fixedWindow({ limit: 1, windowMs: 1, name: 'in a handler' }))
    expect(await codes()).toEqual(['SPILLWAY_LIMITER_PER_REQUEST'])
    expect(warned.mock.calls[0]![0].message).toContain('docs/rate-limiting.md#spillway_limiter_per_request')
  })

  it('is found by how many there are', async () => {
    for (let i = 0; i < 1000; i++) fixedWindow({ limit: 1, windowMs: 1, name: 'many', maxKeys: 1 })
    expect(await codes()).toEqual([])
    fixedWindow({ limit: 1, windowMs: 1, name: 'many', maxKeys: 1 })
    expect(await codes()).toEqual(['SPILLWAY_LIMITER_PER_REQUEST'])
  })
})

describe('two limiters on the same keys of one store', () => {
  it('are found when the second is built', async () => {
    const [store, other] = [{}, {}]
    const [one, two] = [{}, {}]
    claimStorePrefix(one, { store, prefix: 'api', name: 'one' })
    claimStorePrefix(one, { store, prefix: 'api', name: 'one' })
    claimStorePrefix(two, { store: other, prefix: 'api', name: 'two' })
    claimStorePrefix(two, { store, prefix: 'web', name: 'two' })
    expect(await codes()).toEqual([])
    claimStorePrefix(two, { store, prefix: 'api', name: 'two' })
    expect(await codes()).toEqual(['SPILLWAY_LIMITER_SHARED_KEYS'])
  })
})
