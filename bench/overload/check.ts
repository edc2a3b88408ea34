/** Whether the clients of the bench see what others see: autocannon, and wrk where it is installed, at low load. */
import { spawnSync } from 'node:child_process'
import autocannon from 'autocannon'
import { quick } from '../lib/report.ts'
import { startServer } from './servers.ts'
import { closedLoad, kindsOf, openLoad } from './traffic.ts'

export interface CheckOutcome {
  /** The median time of a request of 2 ms, one at a time, as each sees it. */
  readonly oursMs: number
  readonly autocannonMs: number
  /** NaN where there is no wrk, and in a quick run. */
  readonly wrkMs: number
  /** The same from the open loop, at a tenth of what the server can do. */
  readonly openLoopMs: number
}

export async function checkClients(): Promise<CheckOutcome> {
  const seconds = quick ? 0.2 : 2
  const once = { kinds: kindsOf('cpu'), connections: 1, seconds: seconds / 2 }
  const server = await startServer({ subject: 'none', handler: 'cpu' }, ({ port }) =>
    closedLoad({ ...once, port }),
  )
  const ours = await closedLoad({ ...once, port: server.port })
  const url = `http://127.0.0.1:${server.port}/`
  // Both know whole seconds only, and a quick run has none to spare.
  const theirs = await autocannon({
    url,
    connections: 1,
    ...(quick ? { amount: 50 } : { duration: seconds }),
  })
  const wrk = quick
    ? undefined
    : spawnSync('wrk', ['-t1', '-c1', `-d${seconds}s`, '--latency', url], { encoding: 'utf8' })
  const phases = [{ ratePerSecond: 40, seconds: 2 * seconds }]
  const open = await openLoad({ port: server.port, kinds: kindsOf('cpu'), phases, retries: 0, seed: 1 })
  await server.child.stop()
  return {
    oursMs: ours.p50Ms,
    // It counts whole milliseconds, but not in the mean.
    autocannonMs: theirs.latency.average,
    wrkMs: wrk?.status === 0 ? milliseconds(/50%\s+([\d.]+)(us|ms|s)/.exec(wrk.stdout)) : Number.NaN,
    openLoopMs: open.phases[0]!.p50Ms,
  }
}

function milliseconds(match: RegExpExecArray | null): number {
  if (match === null) return Number.NaN
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1_000 }[match[2] as 'us' | 'ms' | 's']
}
