/**
 * Numbers from 0 up to 1 that look random and are the same for the same seed: a Weyl sequence through the mixing
 * function of MurmurHash3. Good enough to draw lots with, and for nothing that must be secret.
 */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let h = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
  }
}
