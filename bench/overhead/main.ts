/**
 * What a protection costs a call that needs none: gates alone, fused and layered; deadlines and refusals beside
 * cockatiel and opossum; the express and gRPC adapters beside express and grpc-js without them.
 *
 * Each case has a process of its own, and all of them take turns: a ratio is taken within a round of some hundredths of
 * a second for each, so that what slows the machine down for a while slows both sides. Another set of processes may be
 * compiled otherwise, so there are several.
 */
import { start } from '../lib/child.ts'
import { finish, progress, quick, table } from '../lib/report.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'
import { cases } from './cases.ts'
import { compareExpress } from './express.ts'
import { compareGrpc } from './grpc.ts'

const rounds = 25
const turnMs = quick ? 10 : 25
/** Of load: short blocks and many of them, because the machine may be faster now and slower a second later. */
const blocks = quick
  ? { warmMs: 1_000, rounds: 12, blockMs: 120 }
  : { warmMs: 1_500, rounds: 25, blockMs: 600 }
/** autocannon ends a block at full seconds only. */
const seconds = { warmMs: quick ? 1_000 : 2_000, rounds: quick ? 2 : 15, blockMs: 1_000 }

/** Each figure is what its first case takes over what the quickest of the others does. */
const compared: Readonly<Record<string, readonly [string, ...string[]]>> = {
  fusedOverLayered: ['five gates, fused', 'five gates, layered'],
  deadlineOverCockatielTimeout: ['deadline', 'cockatiel timeout, cooperative'],
  rejectOverOpossumOpen: ['refused', 'opossum open'],
  stackOverCockatielWrap: ['client stack of six', 'cockatiel retry + breaker + timeout'],
  stackOverCockatielNoTimeout: ['client stack of six', 'cockatiel retry + breaker'],
  stackOverOpossumFire: ['client stack of six', 'opossum fire'],
  refusalOverBestPeer: ['client stack, circuit open', 'opossum open', 'cockatiel open'],
  failingCallGrowth: ['circuit, failing, 100,000 in the window', 'circuit, failing, 100 in the window'],
}

/** A quick run leaves out what is measured for the table alone. */
const names = quick ? [...new Set(Object.values(compared).flat())] : Object.keys(cases)
const nanos = new Map<string, number[]>(names.map(name => [name, []]))
/** Processes that take turns. A quick run has more than one of each only for what lies closest together. */
const sets: readonly (readonly string[])[] = quick
  ? [names, ...Array<readonly string[]>(4).fill(compared.stackOverCockatielNoTimeout!)]
  : Array<readonly string[]>(8).fill(names)
for (const [i, set] of sets.entries()) {
  progress(`calls: set ${i + 1} of ${sets.length}`)
  const children = await Promise.all(
    set.map(async name => {
      const child = start(new URL('./case.ts', import.meta.url), [name])
      await child.next()
      return { name, child }
    }),
  )
  for (let round = 1; round <= rounds; round++) {
    for (const { name, child } of children) {
      const measured = child.next<{ ns: number }>()
      child.send(turnMs)
      nanos.get(name)!.push((await measured).ns)
    }
  }
  await Promise.all(children.map(({ child }) => child.stop()))
}

console.log(
  table(
    ['case', 'ns a call'],
    names.map(name => [name, figure(nanos.get(name)!).value]),
  ),
)

/** Round by round, of the rounds in which all of them had a turn: the first ones. */
const over = ([above, ...below]: readonly [string, ...string[]]): Figure => {
  const both = Math.min(...[above, ...below].map(name => nanos.get(name)!.length))
  const under = Array.from({ length: both }, (_, round) => {
    return Math.min(...below.map(name => nanos.get(name)![round]!))
  })
  return ratio(nanos.get(above)!.slice(0, both), under)
}

const express = await compareExpress(seconds)
const grpc = await compareGrpc(blocks)
console.log()
console.log(
  table(
    ['requests a CPU second', 'bare', 'with spillway', 'ratio'],
    [
      ['express', express.bare.value, express.ours.value, express.ratio.value],
      ['gRPC, client and server', grpc.bare.value, grpc.ours.value, grpc.ratio.value],
    ],
  ),
)
console.log()

finish({
  bench: 'overhead',
  quick,
  command: 'npm run bench:overhead',
  figures: {
    ...Object.fromEntries(Object.entries(compared).map(([name, pair]) => [name, over(pair)])),
    grpcThroughputRatio: grpc.ratio,
    expressThroughputRatio: express.ratio,
  },
  details: {
    nanosecondsPerCall: Object.fromEntries(names.map(name => [name, figure(nanos.get(name)!).value])),
  },
})
