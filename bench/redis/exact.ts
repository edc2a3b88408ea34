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

async function throughput(ask: Ask, forMs: number): Promise<number> {
  let calls = 0
  const before = await cpuSeconds()
  const until = performance.now() + forMs
  const caller = async (): Promise<void> => {
    while (performance.now() < until) await ask(KEYS[(calls++ * 7919) % KEYS.length]!)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, caller))
  return calls / ((await cpuSeconds()) - before)
}

async function cpuSeconds(): Promise<number> {
  const info = await client.info('cpu')
  const server = ['user', 'sys'].map(kind => Number(new RegExp(`used_cpu_${kind}:([\\d.]+)`).exec(info)![1]))
  const { user, system } = process.cpuUsage()
  return server[0]! + server[1]! + (user + system) / 1e6
}

const asks: [string, Ask][] = []
for (const [name, make] of Object.entries(cases)) asks.push([name, await make(client)])
for (const [, ask] of asks) await throughput(ask, blockMs * 2)

const perSecond: Record<string, number[]> = Object.fromEntries(asks.map(([name]) => [name, []]))
for (let round = 0; round < rounds; round++) {
  // Every other round goes the other way, so that no case is always the one after a certain other.
  const order = round % 2 === 0 ? asks : asks.toReversed()
  for (const [name, ask] of order) perSecond[name]!.push(await throughput(ask, blockMs))
}
answer({ perSecond })
process.exit(0)
