/**
 * HalfSipHash-1-3 with 64 bits of output (Aumasson and Bernstein, SipHash, 2012; the 32-bit variant that Linux uses
 * for its hash tables), over the UTF-16 units of a string, two to a word.
 *
 *   v0..v3   state, from the secret k0, k1
 *   word     one round each; then a last word with the odd unit and the length; then three rounds for each half
 *
 * The secret matters: a table whose hash can be computed outside lets a stranger choose keys that meet in one place.
 */

/** Above this many UTF-16 units a key counts by its first half of these, its last half, and its length. */
export const MAX_HASHED_UNITS = 1024

/** 53 bits of hash, as a whole number from 1 up: exact in a double, and 0 stays free to mean "nobody". */
export type Fingerprint = number

/** Hashes strings under a secret of its own. */
export class KeyHash {
  private readonly k0: number
  private readonly k1: number

  /** @param seed only for tests that need the same layout every time. @default random */
  constructor(seed?: readonly [number, number]) {
    const [k0, k1] = seed ?? crypto.getRandomValues(new Uint32Array(2))
    this.k0 = k0! | 0
    this.k1 = k1! | 0
  }

  of(key: string): Fingerprint {
    const length = key.length
    const head = length > MAX_HASHED_UNITS ? MAX_HASHED_UNITS >> 1 : length & ~1
    let v0 = this.k0
    let v1 = this.k1 ^ 0xee
    let v2 = this.k0 ^ 0x6c796765
    let v3 = this.k1 ^ 0x74656462
    let i = 0
    let end = head
    for (;;) {
      while (i < end) {
        const word = key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16)
        i += 2
        v3 ^= word
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
        v0 ^= word
      }
      if (length <= MAX_HASHED_UNITS || i === length) break
      i = length - (MAX_HASHED_UNITS >> 1)
      end = length
    }
    let word = (length << 16) | (i < length ? key.charCodeAt(i) : 0)
    if (length > 0xffff) word ^= length >>> 16
    v3 ^= word
    let low = 0
    // Seven rounds: one for the last word, three before the first half is read, three before the second.
    for (let round = 0; round < 7; round++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      if (round === 0) {
        v0 ^= word
        v2 ^= 0xee
      } else if (round === 3) {
        low = (v1 ^ v3) >>> 0
        v1 ^= 0xdd
      }
    }
    const high = ((v1 ^ v3) >>> 11) * 4294967296
    return high + low || 1
  }
}
