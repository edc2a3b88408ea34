/**
 * What a protection costs a call that needs none: gates alone, fused and layered; deadlines and refusals beside
 * cockatiel and opossum; the express and gRPC adapters beside express and grpc-js without them.
 *
 * Every round measures every case once, each in a process of its own, and every ratio is taken within a round.
 */
import { start } from '../lib/child.ts'
import { finish, progress, quick, table } from '../lib/report.ts'
import { type Figure, figure, ratio } from '../lib/stats.ts'
import { cases } from './cases.ts'
import { compareExpress } from './express.ts'
import { compareGrpc } from './grpc.ts'

const rounds = quick ? 3 : 9
const caseMs = quick ? 100 : 600
/** Of load: short blocks and many of them, because the machine may be faster now and slower a second later. */
const blocks = quick ? { rounds: 9, blockMs: 300 } : { rounds: 25, blockMs: 600 }

const names = Object.keys(cases)
const nanos = new Map<string, number[]>(names.map(name => [name, []]))
for (let round = 1; round <= rounds; round++) {
  progress(`calls: round ${round} of ${rounds}`)
  for (const name of names) {
    const child = start(new URL('./case.ts', import.meta.url), [name, String(caseMs)])
    nanos.get(name)!.push((await child.next<{ ns: number }>()).ns)
    await child.stop()
  }
}

console.log(
  table(
    ['case', 'ns a call'],
    names.map(name => [name, figure(nanos.get(name)!).value]),
  ),
)

const over = (above: string, below: string): Figure => ratio(nanos.get(above)!, nanos.get(below)!)

/** Over the quickest of several, round by round. */
const overLeast = (above: string, below: readonly string[]): Figure =>
  ratio(
    nanos.get(above)!,
    nanos.get(above)!.map((_, round) => Math.min(...below.map(name => nanos.get(name)![round]!))),
  )

const express = await compareExpress(blocks)
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
    fusedOverLayered: over('five gates, fused', 'five gates, layered'),
    deadlineOverCockatielTimeout: over('deadline', 'cockatiel timeout, cooperative'),
    rejectOverOpossumOpen: over('refused', 'opossum open'),
    stackOverCockatielWrap: over('client stack of six', 'cockatiel retry + breaker + timeout'),
    stackOverCockatielNoTimeout: over('client stack of six', 'cockatiel retry + breaker'),
    stackOverOpossumFire: over('client stack of six', 'opossum fire'),
    refusalOverBestPeer: overLeast('client stack, circuit open', ['opossum open', 'cockatiel open']),
    failingCallGrowth: over('circuit, failing, 100,000 in the window', 'circuit, failing, 100 in the window'),
    grpcThroughputRatio: grpc.ratio,
    expressThroughputRatio: express.ratio,
  },
  details: {
    nanosecondsPerCall: Object.fromEntries(names.map(name => [name, figure(nanos.get(name)!).value])),
  },
})
