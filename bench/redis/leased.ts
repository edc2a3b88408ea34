/**
 * One process that calls a leased limit as fast as it can: `leased.ts PORT KEYS MILLISECONDS` answers with grants and
 * decisions a second, and with how many of them came to one command.
 */
import { Redis } from 'ioredis'
import { redisLimiter } from 'spillway/ratelimit/redis'
import { answer } from '../lib/child.ts'

const [port, keyCount, millis] = process.argv.slice(2).map(Number) as [number, number, number]
const client = new Redis(port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
await new Promise(resolve => client.once('ready', resolve))

const limits = { limit: 100_000, periodMs: 1_000, burst: 20_000 }
const limiter = redisLimiter({ client, mode: 'leased', name: `leased-${keyCount}`, limits, nodes: 4 })
const keys = Array.from({ length: keyCount }, (_, i) => `tenant-${i}`)
let calls = 0

/** As a service does it: a few calls, then a turn of the event loop. */
async function run(forMs: number): Promise<void> {
  const until = performance.now() + forMs
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      for (let i = 0; i < 16; i++) {
        const decision = limiter.take(keys[calls++ % keyCount]!)
        if (decision instanceof Promise) await decision
      }
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  await Promise.all(Array.from({ length: 8 }, caller))
}

await run(millis / 4)
limiter.reset()
const before = limiter.snapshot().redis.commands
const start = performance.now()
await run(millis)
const seconds = (performance.now() - start) / 1000
const { allowed, denied, redis } = limiter.snapshot()
const commands = redis.commands - before
answer({
  grantsPerSecond: allowed / seconds,
  decisionsPerSecond: (allowed + denied) / seconds,
  grantsPerCommand: allowed / commands,
  decisionsPerCommand: (allowed + denied) / commands,
})
process.exit(0)
