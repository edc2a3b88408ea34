import { describe, expect, it } from 'vitest'
import { memoryStore } from './memory-store.ts'

const life = { tookMs: 0, freshMs: 10, keepMs: 100 }

describe('memoryStore', () => {
  it('gives a copy back with its age until its time is over', () => {
    const store = memoryStore()
    store.set('a', { value: 1 }, { tookMs: 5, freshMs: 10, keepMs: 100 }, 1000)
    expect(store.get('a', 1020)).toEqual({ kept: { value: 1 }, ageMs: 25, freshMs: 10 })
    expect(store.get('a', 1095)).toBeDefined()
    expect(store.get('a', 1096)).toBeUndefined()
    expect(store.get('b', 1020)).toBeUndefined()
    expect(store.snapshot()).toMatchObject({ hits: 2, misses: 2, entries: 1 })
  })

  it('does not let an answer that was overtaken replace the newer one', () => {
    const store = memoryStore()
    store.set('a', { value: 'asked at 100, took 5' }, { ...life, tookMs: 5 }, 105)
    store.set('a', { value: 'asked at 50, took 70' }, { ...life, tookMs: 70 }, 120)
    expect(store.get('a', 120)?.kept).toEqual({ value: 'asked at 100, took 5' })
    expect(store.snapshot().late).toBe(1)
  })

  it('does not let an answer that was asked for before a delete bring the key back', () => {
    const store = memoryStore()
    store.delete('a', 100)
    store.set('a', { value: 'late' }, { ...life, tookMs: 10 }, 105)
    expect(store.get('a', 105)).toBeUndefined()
    store.set('a', { value: 'new' }, { ...life, tookMs: 1 }, 106)
    expect(store.get('a', 106)?.kept).toEqual({ value: 'new' })
  })

  it('pushes out what has not been used for longest', () => {
    const store = memoryStore({ maxEntries: 2 })
    store.set('a', { value: 1 }, life, 0)
    store.set('b', { value: 2 }, life, 0)
    store.get('a', 0)
    store.set('c', { value: 3 }, life, 0)
    expect(['a', 'b', 'c'].map(key => store.get(key, 0) !== undefined)).toEqual([true, false, true])
    store.update({ maxEntries: 1 })
    expect(store.snapshot()).toMatchObject({ entries: 1, evicted: 2 })
    store.reset()
    expect(store.snapshot()).toMatchObject({ entries: 0, evicted: 0, maxEntries: 1 })
  })

  it('checks its options', () => {
    expect(() => memoryStore({ maxEntries: 0 })).toThrow(
      'Expected `maxEntries` to be a whole number from 1 up, got 0',
    )
    expect(() => memoryStore().update({ maxEntires: 1 } as never)).toThrow('has no option `maxEntires`')
  })
})
