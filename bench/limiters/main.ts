/**
 * What a decision costs in processor time, and what a key costs in memory: the kit's limiters beside those that are used most. The same 100,000
 * keys in the same random order, each of them new at first, then one of them over and over; a process for each
 * limiter and each round.
 */
import { start } from '../lib/child.ts'
import { finish, progress, quick, table } from '../lib/report.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'
import { subjects } from './subjects.ts'

const rounds = quick ? 3 : 5
/** Each key is asked for ten times. */
const decisions = 1_000_000
const OURS = 'spillway tokenBucket'
const MANY = 1_000_000

/** A million of its job queues would not fit in the memory of a small machine. */
const fewer: Readonly<Record<string, number>> = { bottleneck: 2_000 }
/** Of the peers a quick run only wants to see how large they are. */
const manyOf = (name: string): number => fewer[name] ?? (quick && name !== OURS ? MANY / 8 : MANY)
/** A quick run leaves out what no figure comes from. */
const names = Object.keys(subjects).filter(name => !quick || name === OURS || !name.startsWith('spillway'))
/** A job of it takes a thousand times as long as a decision of the others, so once is enough to see that. */
const shownOnly = 'bottleneck'
const peers = names.filter(name => !name.startsWith('spillway') && name !== shownOnly)

async function ask<T>(name: string, what: 'speed' | 'memory', amount: number): Promise<T> {
  const flags = what === 'memory' ? ['--expose-gc'] : []
  const child = start(new URL('./measure.ts', import.meta.url), [what, name, String(amount)], flags)
  const result = await child.next<T>()
  await child.stop()
  return result
}

const random = new Map<string, number[]>(names.map(name => [name, []]))
const hot = new Map<string, number[]>(names.map(name => [name, []]))
for (let round = 1; round <= rounds; round++) {
  progress(`decisions: round ${round} of ${rounds}`)
  for (const name of names) {
    if (name === shownOnly && round > 1) continue
    const { randomNs, hotNs } = await ask<{ randomNs: number; hotNs: number }>(name, 'speed', decisions)
    random.get(name)!.push(randomNs)
    hot.get(name)!.push(hotNs)
  }
}

const bytes = new Map<string, number>()
for (const name of names) {
  progress(`memory: ${name}`)
  bytes.set(name, (await ask<{ bytesPerKey: number }>(name, 'memory', manyOf(name))).bytesPerKey)
}

console.log(
  table(
    ['limiter', 'ns of CPU a decision, random keys', 'one hot key', 'bytes a key'],
    names.map(name => [
      name,
      figure(random.get(name)!).value,
      figure(hot.get(name)!).value,
      bytes.get(name)!,
    ]),
  ),
)
console.log()

/** How many times faster ours is than `peer`, or than whichever peer is fastest in each round. */
function speedup(times: ReadonlyMap<string, readonly number[]>, over: readonly string[]): Figure {
  const fastest = times.get(OURS)!.map((_, round) => Math.min(...over.map(peer => times.get(peer)![round]!)))
  return ratio(fastest, times.get(OURS)!)
}

finish({
  bench: 'limiters',
  quick,
  command: 'npm run bench:limiters',
  figures: {
    speedupOverRateLimiterFlexible: speedup(random, ['rate-limiter-flexible']),
    speedupOverFastestPeer: speedup(random, peers),
    hotKeySpeedupOverRateLimiterFlexible: speedup(hot, ['rate-limiter-flexible']),
    hotKeySpeedupOverFastestPeer: speedup(hot, peers),
    bytesPerKey: figure([bytes.get(OURS)!]),
  },
  details: {
    nanosecondsPerDecision: Object.fromEntries(
      names.map(name => [
        name,
        { random: figure(random.get(name)!).value, hot: figure(hot.get(name)!).value },
      ]),
    ),
    bytesPerKey: Object.fromEntries(bytes),
  },
})
