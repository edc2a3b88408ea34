/**
 * How fast the server's core is, told by a process that shares it: twenty times a second it does the same work, a
 * tenth of a millisecond of it, and takes the time. Asked, it answers with the middle of what it has seen since.
 *
 * On a machine that is shared a core can need 1.5 ms for something or 2.6, by turns of some seconds, depending on what
 * neighbours do that no account of this machine knows of. Handlers that compute for a time do not show that, but all
 * that surrounds them does: parsing, refusing, answering. The work is like that: text is read, and memory written.
 */
import { answer } from '../lib/child.ts'
import { quantile } from './load.ts'

const EVERY_MS = 50
const ROUNDS = 24
const text = 'what a server reads '.repeat(50)
const cells = new Int32Array(4_096)

let speeds: number[] = []

function round(seed: number): void {
  let hash = seed
  for (let i = 0; i < text.length; i++) {
    hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
    cells[(hash >>> 8) & 4_095]! ^= hash
  }
}

function look(): void {
  // What the server has put in the place of code and data comes back first.
  for (let i = 0; i < 4; i++) round(i)
  const startedAt = performance.now()
  for (let i = 0; i < ROUNDS; i++) round(i)
  speeds.push(ROUNDS / (performance.now() - startedAt))
}

for (let i = 0; i < 500; i++) look()
speeds = []
setInterval(look, EVERY_MS)
process.on('message', () => {
  if (speeds.length === 0) look()
  answer({ speed: quantile(speeds, 0.5) })
  speeds = []
})
answer({})
