import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyHash, MAX_HASHED_UNITS } from './key-hash.ts'

const WORD = 0xffff_ffffn
const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (32n - by))) & WORD

/** HalfSipHash-1-3 from its paper, one step a line. */
function naive(key: string, k0: bigint, k1: bigint): number {
  let [v0, v1, v2, v3] = [k0, k1 ^ 0xeen, k0 ^ 0x6c796765n, k1 ^ 0x74656462n]
  const round = (): void => {
    v0 = (v0 + v1) & WORD
    v1 = rotate(v1, 5n) ^ v0
    v0 = rotate(v0, 16n)
    v2 = (v2 + v3) & WORD
    v3 = rotate(v3, 8n) ^ v2
    v0 = (v0 + v3) & WORD
    v3 = rotate(v3, 7n) ^ v0
    v2 = (v2 + v1) & WORD
    v1 = rotate(v1, 13n) ^ v2
    v2 = rotate(v2, 16n)
  }
  const units = [...Array(key.length).keys()].map(i => BigInt(key.charCodeAt(i)))
  const words: bigint[] = []
  for (let i = 0; i + 1 < units.length; i += 2) words.push(units[i]! | (units[i + 1]! << 16n))
  words.push(((BigInt(key.length) << 16n) & WORD) | (units.length % 2 === 1 ? units.at(-1)! : 0n))
  for (const word of words) {
    v3 ^= word
    round()
    v0 ^= word
  }
  v2 ^= 0xeen
  for (let i = 0; i < 3; i++) round()
  const low = v1 ^ v3
  v1 ^= 0xddn
  for (let i = 0; i < 3; i++) round()
  return Number((((v1 ^ v3) >> 11n) << 32n) | low) || 1
}

describe('KeyHash', () => {
  it('is HalfSipHash-1-3 under its secret', () => {
    const secret = fc.nat(0xffff_ffff)
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), secret, secret, (key, k0, k1) => {
        expect(new KeyHash([k0, k1]).of(key)).toBe(naive(key, BigInt(k0), BigInt(k1)))
      }),
    )
  })

  it('gives whole numbers from 1 up that a double holds exactly', () => {
    const hash = new KeyHash()
    for (let i = 0; i < 10_000; i++) {
      const print = hash.of(`key ${i}`)
      expect(Number.isSafeInteger(print) && print > 0).toBe(true)
    }
  })

  it('has a secret of its own each time', () => {
    expect(new KeyHash().of('a')).not.toBe(new KeyHash().of('a'))
  })

  it('finds no two alike among a hundred thousand', () => {
    const hash = new KeyHash([1, 2])
    expect(new Set(Array.from({ length: 100_000 }, (_, i) => hash.of(`10.0.0.${i}`))).size).toBe(100_000)
  })

  it('counts a very long key by its two ends and its length, and takes no longer for it', () => {
    const hash = new KeyHash([1, 2])
    const half = MAX_HASHED_UNITS / 2
    const long = (middle: string, length: number): string =>
      'h'.repeat(half) + middle.repeat(length) + 't'.repeat(half)
    expect(hash.of(long('a', 1_000_000))).toBe(hash.of(long('b', 1_000_000)))
    expect(hash.of(long('a', 1_000_000))).not.toBe(hash.of(long('a', 1_000_001)))
    expect(hash.of(long('a', 65_536))).not.toBe(hash.of(long('a', 131_072)))
    expect(hash.of(`x${long('a', 9)}`)).not.toBe(hash.of(`y${long('a', 9)}`))
    expect(hash.of(`${long('a', 9)}x`)).not.toBe(hash.of(`${long('a', 9)}y`))
    const started = performance.now()
    const huge = long('a', 50_000_000)
    for (let i = 0; i < 1000; i++) hash.of(huge)
    expect(performance.now() - started).toBeLessThan(5000)
  })
})
