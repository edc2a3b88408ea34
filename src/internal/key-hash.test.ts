import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyHash, MAX_HASHED_UNITS } from './key-hash.ts'

const WORD = 0xffff_ffffn
const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (32n - by))) & WORD

/** Marvin32 from its description, one step a line: the whole 64 bits. */
function naive(key: string, secret: bigint): bigint {
  let [p0, p1] = [secret & WORD, secret >> 32n]
  const mix = (word: bigint): void => {
    p0 = (p0 + word) & WORD
    p1 ^= p0
    p0 = (rotate(p0, 20n) + p1) & WORD
    p1 = rotate(p1, 9n) ^ p0
    p0 = (rotate(p0, 27n) + p1) & WORD
    p1 = rotate(p1, 19n)
  }
  const bytes = bytesOf(key)
  for (let i = 0; i < bytes.length; i += 4)
    mix(bytes.slice(i, i + 4).reduceRight((word, byte) => (word << 8n) | byte))
  mix(0n)
  return (p1 << 32n) | p0
}

/** What counts of a key, with its mark, as whole words. */
function bytesOf(key: string): bigint[] {
  const narrow = [...key].every(character => character < '\u0100')
  const bytes = [...Buffer.from(key, narrow ? 'latin1' : 'utf16le'), 0x80]
  while (bytes.length % 4 !== 0) bytes.push(0)
  if (!narrow) bytes[bytes.length - 1] = 1
  return bytes.map(BigInt)
}

/** What the table keeps of a hash. */
const print = (hash: bigint): number => Number(((hash >> 43n) << 32n) | (hash & WORD)) || 1

describe('KeyHash', () => {
  it('is Marvin32', () => {
    const published: [string, bigint][] = [
      ['', 0x30ed35c100cd3c7dn],
      ['\xaf', 0x48e73fc77d75ddc1n],
      ['\xe7\x0f', 0xb5f6e1fc485dbff8n],
      ['\x37\xf4\x95', 0xf0b07c789b8cf7e8n],
      ['\x86\x42\xdc\x59', 0x7008f2e87e9cf556n],
      ['\x15\x3f\xb7\x98\x26', 0xe6c08c6da2afa997n],
    ]
    for (const [key, hash] of published) {
      expect(naive(key, 0x004fb61a001bdbccn)).toBe(hash)
      expect(new KeyHash([0x001bdbcc, 0x004fb61a]).of(key)).toBe(print(hash))
    }
    const secret = fc.nat(0xffff_ffff)
    const keys = fc.oneof(
      fc.string({ unit: 'binary-ascii', maxLength: 40 }),
      fc.array(fc.nat(255), { maxLength: 40 }).map(units => String.fromCharCode(...units)),
      fc.string({ unit: 'binary', maxLength: 40 }),
    )
    fc.assert(
      fc.property(keys, secret, secret, (key, low, high) => {
        const hash = naive(key, (BigInt(high) << 32n) | BigInt(low))
        expect(new KeyHash([low, high]).of(key)).toBe(print(hash))
      }),
    )
  })

  it('tells a string of Latin-1 from one of wider characters with the same bytes', () => {
    const hash = new KeyHash([1, 2])
    const bytes = (wide: string): string => Buffer.from(wide, 'utf16le').toString('latin1')
    const wide = fc.array(fc.integer({ min: 0x100, max: 0xffff }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(wide, units => {
        const key = String.fromCharCode(...units)
        expect(hash.of(bytes(key))).not.toBe(hash.of(key))
        expect(hash.of(`${key}\x80`)).not.toBe(hash.of(`${key}\x80\0`))
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
