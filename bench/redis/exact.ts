/**
 * Measures the cases in turns, in one process and through one client: `exact.ts PORT ROUNDS BLOCK-MS` answers with
 * the calls that a second of processor time, of this process and of Redis together, is enough for. That is what a
 * service pays, and what else runs on the machine does not change it much.
 */
import { Redis } from 'ioredis'
import { answer } from '../lib/child.ts'
import { type Ask, cases } from './cases.ts'

const [port, rounds, blockMs] = process.argv.slice(2).map(Number) as [number, number, number]
const client = new Redis(port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
await new Promise(resolve => client.once('ready', resolve))

/** So many calls wait at any time, as in a service under load. */
const AT_ONCE = 64
const KEYS = Array.from({ length: 1_000 }, (_, i) => `user-${i}`)

interface Work {
  calls: number
  seconds: number
}

/** Adds what `ask` does in `forMs`, and the processor time that it takes. */
async function work(ask: Ask, forMs: number, done: Work): Promise<void> {
  let calls = 0
  const before = await cpuSeconds()
  const until = performance.now() + forMs
  const caller = async (): Promise<void> => {
    while (performance.now() < until) await ask(KEYS[(calls++ * 7919) % KEYS.length]!)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, caller))
  done.calls += calls
  done.seconds += (await cpuSeconds()) - before
}

async function cpuSeconds(): Promise<number> {
  const info = await client.info('cpu')
  const server = ['user', 'sys'].map(kind => Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)![1]))
  const { user, system } = process.cpuUsage()
  return server[0]! + server[1]! + (user + system) / 1e6
}

const asks: [string, Ask][] = []
for (const [name, make] of Object.entries(cases)) asks.push([name, await make(client)])
for (const [, ask] of asks) await work(ask, blockMs, { calls: 0, seconds: 0 })

/** A round is many short turns, so that all cases see the same noise of the machine; every other turn goes the other way. */
const TURNS = 10
const perSecond: Record<string, number[]> = Object.fromEntries(asks.map(([name]) => [name, []]))
for (let round = 0; round < rounds; round++) {
  const done = asks.map(() => ({ calls: 0, seconds: 0 }))
  for (let turn = 0; turn < TURNS; turn++) {
    const order = turn % 2 === 0 ? [...asks.keys()] : [...asks.keys()].reverse()
    for (const i of order) await work(asks[i]![1], blockMs / TURNS, done[i]!)
  }
  for (const [i, [name]] of asks.entries()) perSecond[name]!.push(done[i]!.calls / done[i]!.seconds)
}
answer({ perSecond })
process.exit(0)
