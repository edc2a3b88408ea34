/**
 * Work that keeps the loop busy for a time, and tells how fast the core was meanwhile.
 *
 * On a machine that is shared a core does the same work in 1.5 ms or in 2.6, depending on what neighbours do that no
 * account of this machine knows of. Work that lasts for a time does not see that, but what surrounds it does: parsing,
 * refusing, answering. So the rounds that it gets done are counted. They are like what a server does: text is read,
 * and memory written in no order.
 */
const text = 'what a server reads '.repeat(50)
const cells = new Int32Array(4_096)

let rounds = 0
let spentMs = 0

export function burn(ms: number): void {
  const startedAt = performance.now()
  let now = startedAt
  // Asking for the time leaves garbage behind, so not all the time.
  for (; now - startedAt < ms; now = performance.now()) {
    for (let twice = 0; twice < 2; twice++, rounds++) round()
  }
  spentMs += now - startedAt
}

function round(): void {
  let hash = rounds
  for (let i = 0; i < text.length; i++) {
    hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
    cells[(hash >>> 8) & 4_095]! ^= hash
  }
}

/** Rounds in a millisecond since this was last asked; NaN when there were too few to tell. */
export function burnSpeed(): number {
  const speed = spentMs < 5 ? Number.NaN : rounds / spentMs
  rounds = spentMs = 0
  return speed
}
