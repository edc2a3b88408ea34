/**
 * Marvin32 (Niels Ferguson; the string hash of .NET), over the UTF-16 units of a string, two to a word.
 *
 *   p0, p1   64 bits of state, at first the secret
 *   mix      p1 ^= p0, p0 = p0 <<< 20 + p1, p1 = p1 <<< 9 ^ p0, p0 = p0 <<< 27 + p1, p1 <<<= 19
 *   word     p0 += word, then mix; at the end a last word that holds the odd unit and a mark, and one more mix
 *
 * The secret matters: a table whose hash can be computed outside lets a stranger choose keys that meet in one place.
 */

/** Above this many UTF-16 units a key counts by its first half of these, its last half, and its length. */
export const MAX_HASHED_UNITS = 1024

/** 53 bits of hash, as a whole number from 1 up: exact in a double, and 0 stays free to mean "nobody". */
export type Fingerprint = number

/** Hashes strings under a secret of its own. */
export class KeyHash {
  private readonly p0: number
  private readonly p1: number

  /** @param secret only for tests that need the same hash every time. @default random */
  constructor(secret?: readonly [number, number]) {
    const [p0, p1] = secret ?? crypto.getRandomValues(new Uint32Array(2))
    this.p0 = p0! | 0
    this.p1 = p1! | 0
  }

  of(key: string): Fingerprint {
    if (key.length > MAX_HASHED_UNITS) key = abridged(key)
    let { p0, p1 } = this
    const even = key.length & ~1
    for (let i = 0; i < even; i += 2) {
      p0 = (p0 + (key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16))) | 0
      p1 ^= p0
      p0 = (((p0 << 20) | (p0 >>> 12)) + p1) | 0
      p1 = ((p1 << 9) | (p1 >>> 23)) ^ p0
      p0 = (((p0 << 27) | (p0 >>> 5)) + p1) | 0
      p1 = (p1 << 19) | (p1 >>> 13)
    }
    p0 = (p0 + (even < key.length ? key.charCodeAt(even) | 0x80_0000 : 0x80)) | 0
    p1 ^= p0
    p0 = (((p0 << 20) | (p0 >>> 12)) + p1) | 0
    p1 = ((p1 << 9) | (p1 >>> 23)) ^ p0
    p0 = (((p0 << 27) | (p0 >>> 5)) + p1) | 0
    p1 = (p1 << 19) | (p1 >>> 13)
    p1 ^= p0
    p0 = (((p0 << 20) | (p0 >>> 12)) + p1) | 0
    p1 = ((p1 << 9) | (p1 >>> 23)) ^ p0
    p0 = (((p0 << 27) | (p0 >>> 5)) + p1) | 0
    p1 = (p1 << 19) | (p1 >>> 13)
    return (p1 >>> 11) * 4294967296 + (p0 >>> 0) || 1
  }
}

/** What a very long key counts by; longer than any key that counts by itself. */
function abridged(key: string): string {
  const half = MAX_HASHED_UNITS / 2
  return `${key.slice(0, half)}${key.slice(-half)}${key.length}`
}
