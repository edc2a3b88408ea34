import { describe, expect, it } from 'vitest'
import { KeyHash } from '../internal/key-hash.ts'
import { BlockList } from './block-list.ts'

describe('a block list', () => {
  it('blocks a key, and no other, until the very moment', () => {
    const blocks = new BlockList(10)
    expect(blocks.left('a', 0)).toBe(0)
    blocks.set('a', 1000, 0)
    expect([0, 999, 1000, 1001].map(now => blocks.left('a', now))).toEqual([1000, 1, 0, 0])
    expect(blocks.left('b', 0)).toBe(0)
    blocks.set('a', Infinity, 0)
    expect(blocks.left('a', 1e15)).toBe(Infinity)
  })

  it('puts a new end in the place of the old one, and counts blocks but not their lifting', () => {
    const blocks = new BlockList(10)
    blocks.set('a', 0, 0)
    expect(blocks.count).toBe(0)
    blocks.set('a', 1000, 0)
    blocks.set('a', 400, 100)
    expect(blocks.left('a', 100)).toBe(300)
    blocks.set('a', 100, 100)
    expect(blocks.left('a', 100)).toBe(0)
    expect(blocks.count).toBe(2)
  })

  it('finds a key by the fingerprint of the hash that it was given', () => {
    const hash = new KeyHash()
    const blocks = new BlockList(10, hash)
    blocks.set('a', 50, 0)
    expect(blocks.leftOf(hash.of('a'), 20)).toBe(30)
    expect(blocks.leftOf(hash.of('b'), 20)).toBe(0)
  })

  it('takes every new block when it is full, in the place of one that would have ended first', () => {
    const blocks = new BlockList(1)
    blocks.set('long', Infinity, 0)
    for (let i = 0; i < 200; i++) {
      blocks.set(`k${i}`, 1000 + i, 0)
      expect(blocks.left(`k${i}`, 0)).toBe(1000 + i)
    }
    expect(blocks.left('k0', 0)).toBe(0)
    expect(blocks.left('long', 0)).toBe(Infinity)
    expect(blocks.count).toBe(201)
  })

  it('keeps what is left of a block when time is counted in other units, rounded up', () => {
    const blocks = new BlockList(10)
    blocks.set('a', 105, 0)
    blocks.set('over', 90, 0)
    blocks.rescale(5000, 100, 2.5)
    expect(blocks.left('a', 5000)).toBe(13)
    expect(blocks.left('over', 0)).toBe(0)
  })

  it('forgets everything when it is cleared', () => {
    const blocks = new BlockList(10)
    blocks.set('a', 1000, 0)
    blocks.clear()
    expect([blocks.left('a', 0), blocks.count]).toEqual([0, 0])
  })
})
