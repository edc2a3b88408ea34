import { describe, expect, it } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import type { Copy } from './copy-store.ts'
import { storeFailed } from './events.ts'
import { StoreAccess } from './store-access.ts'

const copy: Copy = { kept: { value: 1 }, ageMs: 0, freshMs: 1 }
const life = { tookMs: 0, freshMs: 1, keepMs: 1 }

function setUp() {
  const clock = manualClock()
  const reads: Deferred<Copy | undefined>[] = []
  const writes: Deferred<void>[] = []
  const store = {
    get: () => {
      const read = defer<Copy | undefined>()
      reads.push(read)
      return read.promise
    },
    set: () => {
      const write = defer<void>()
      writes.push(write)
      return write.promise
    },
    delete: () => Promise.resolve(),
  }
  const access = new StoreAccess('policy', store, { storeTimeoutMs: 20, storePauseMs: 100 })
  return { clock, reads, writes, access, context: createContext({ clock }) }
}

describe('access to a store', () => {
  it('waits for a reading as long as it may, and leaves the store alone after that', async () => {
    const { clock, reads, access, context } = setUp()
    const good = access.read('a', context)
    reads[0]!.resolve(copy)
    expect(await good).toBe(copy)
    const slow = access.read('a', context)
    await clock.advance(20)
    expect(await slow).toBeUndefined()
    reads[1]!.reject(new Error('too late to matter'))
    expect(access.read('a', context)).toBeUndefined()
    access.write('a', copy.kept, life, context)
    expect(reads).toHaveLength(2)
    await clock.advance(100)
    void access.read('a', context)
    expect(reads).toHaveLength(3)
    expect(access.failures).toBe(1)
  })

  it('does not blame the store for a caller who goes away', async () => {
    const { reads, access } = setUp()
    const { context, cancel } = openContext({ clock: manualClock() })
    const read = access.read('a', context)
    cancel('gone')
    expect(await read).toBeUndefined()
    expect(access.failures).toBe(0)
    reads[0]!.resolve(copy)
  })

  it('waits for no writing, and hears when one fails', async () => {
    const { clock, writes, access, context } = setUp()
    const heard: unknown[] = []
    const stop = storeFailed.on(event => heard.push(event))
    access.write('a', copy.kept, life, context)
    const error = new Error('down')
    writes[0]!.reject(error)
    await clock.flush()
    stop()
    expect(heard).toEqual([{ policy: 'policy', doing: 'write', error }])
    expect(access.read('a', context)).toBeUndefined()
  })

  it('takes what a store tells at once, whether it works or throws', () => {
    const clock = manualClock()
    const context = createContext({ clock })
    const works = { get: () => copy, set: () => {}, delete: () => {} }
    expect(new StoreAccess('p', works).read('a', context)).toBe(copy)
    const broken = () => {
      throw new Error('down')
    }
    const access = new StoreAccess('p', { get: broken, set: broken, delete: broken }, { storePauseMs: 0 })
    expect(access.read('a', context)).toBeUndefined()
    access.write('a', copy.kept, life, context)
    expect(access.failures).toBe(2)
  })
})
