/**
 * What a decision costs that several processes share: `exact` beside its own script without anything around it,
 * beside rate-limiter-flexible and rate-limit-redis, and what `leased` makes of one command.
 */
import { start } from '../lib/child.ts'
import { finish, progress, quick, table } from '../lib/report.ts'
import { figure, ratio } from '../lib/stats.ts'
import { startServer } from './server.ts'

const processes = quick ? 2 : 3
const rounds = quick ? 5 : 8
const blockMs = quick ? 300 : 600
const leasedMs = quick ? 1_000 : 3_000

const server = await startServer()

const perSecond: Record<string, number[]> = {}
for (let i = 1; i <= processes; i++) {
  progress(`exact: process ${i} of ${processes}`)
  const child = start(new URL('./exact.ts', import.meta.url), [server.port, rounds, blockMs].map(String))
  const { perSecond: measured } = await child.next<{ perSecond: Record<string, number[]> }>()
  for (const [name, values] of Object.entries(measured)) {
    perSecond[name] = [...(perSecond[name] ?? []), ...values]
  }
  await child.stop()
}

interface Leased {
  readonly grantsPerSecond: number
  readonly decisionsPerSecond: number
  readonly grantsPerCommand: number
  readonly decisionsPerCommand: number
}

const leased: Record<string, Leased[]> = {}
for (const keys of [1, 100]) {
  const runs: Leased[] = []
  for (let round = 0; round < 3; round++) {
    progress(`leased: ${keys} keys, round ${round + 1} of 3`)
    const child = start(new URL('./leased.ts', import.meta.url), [server.port, keys, leasedMs].map(String))
    runs.push(await child.next<Leased>())
    await child.stop()
  }
  leased[keys] = runs
}
server.stop()

const of = (name: string): number[] => perSecond[name]!
const over = (name: string, other: string) => ratio(of(name), of(other))

console.log(
  table(
    ['through one client, 64 calls at once', 'a CPU second', 'over the bare script'],
    Object.keys(perSecond).map(name => [name, figure(of(name)).value, over(name, 'bare script').value]),
  ),
)
console.log()
console.log(
  table(
    ['leased, one process of four', 'decisions a second', 'grants a second', 'grants a command'],
    Object.entries(leased).map(([keys, runs]) => [
      keys === '1' ? 'one key, over its limit' : `${keys} keys, below their limit`,
      figure(runs.map(run => run.decisionsPerSecond)).value,
      figure(runs.map(run => run.grantsPerSecond)).value,
      figure(runs.map(run => run.grantsPerCommand)).value,
    ]),
  ),
)
console.log()

finish({
  bench: 'redis',
  quick,
  command: 'npm run bench:redis',
  figures: {
    exactOverBareScript: over('spillway exact', 'bare script'),
    leasedDecisionsPerCommand: figure(leased['100']!.map(run => run.decisionsPerCommand)),
    exactOverRateLimiterFlexible: over('spillway exact', 'rate-limiter-flexible'),
    exactOverRateLimitRedis: over('spillway exact', 'rate-limit-redis'),
  },
  details: {
    perSecond: Object.fromEntries(Object.keys(perSecond).map(name => [name, figure(of(name)).value])),
    leased,
  },
})
