/**
 * Marvin32 (Niels Ferguson; the string hash of .NET), over the bytes of a string.
 *
 *   p0, p1   64 bits of state, at first the secret
 *   mix      p1 ^= p0, p0 = p0 <<< 20 + p1, p1 = p1 <<< 9 ^ p0, p0 = p0 <<< 27 + p1, p1 <<<= 19
 *   word     p0 += four bytes, then mix; at the end a last word that holds the bytes left over and a mark of 0x80
 *            behind them, and one more mix
 *
 * A string of Latin-1 counts by one byte a character, as most keys are and the engine keeps them; any other by its
 * UTF-16 units, with another mark, so that no string of the one kind has the words of one of the other.
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
    let i = 0
    let seen = 0
    for (const end = key.length & ~3; i < end; i += 4) {
      const a = key.charCodeAt(i)
      const b = key.charCodeAt(i + 1)
      const c = key.charCodeAt(i + 2)
      const d = key.charCodeAt(i + 3)
      seen |= a | b | c | d
      p0 = (p0 + (a | (b << 8) | (c << 16) | (d << 24))) | 0
      p1 ^= p0
      p0 = (((p0 << 20) | (p0 >>> 12)) + p1) | 0
      p1 = ((p1 << 9) | (p1 >>> 23)) ^ p0
      p0 = (((p0 << 27) | (p0 >>> 5)) + p1) | 0
      p1 = (p1 << 19) | (p1 >>> 13)
    }
    let last = 0x80
    for (let j = key.length - 1; j >= i; j--) {
      const unit = key.charCodeAt(j)
      seen |= unit
      last = (last << 8) | unit
    }
    return seen < 256 ? finished(p0, p1, last) : this.ofUnits(key)
  }

  private ofUnits(key: string): Fingerprint {
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
    return finished(p0, p1, even < key.length ? key.charCodeAt(even) | 0x180_0000 : 0x100_0080)
  }
}

function finished(p0: number, p1: number, last: number): Fingerprint {
  p0 = (p0 + last) | 0
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

/** What a very long key counts by; longer than any key that counts by itself. */
function abridged(key: string): string {
  const half = MAX_HASHED_UNITS / 2
  return `${key.slice(0, half)}${key.slice(-half)}${key.length}`
}
