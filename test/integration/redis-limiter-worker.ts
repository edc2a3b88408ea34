/** One of several processes that share a limit: builds the limiter that it is told to, and calls it. */
import { Redis } from 'ioredis'
import type { Decision } from '../../src/ratelimit/limiter.ts'
import { type RedisLimiterOptions, redisLimiter } from '../../src/ratelimit/redis/index.ts'

export interface Task {
  readonly options: Omit<RedisLimiterOptions, 'client'>
  readonly calls: number
}

const client = new Redis(Number(process.argv[2]), {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
})
client.on('error', () => undefined)
await new Promise(resolve => client.once('ready', resolve))

process.on('message', async ({ options, calls }: Task) => {
  const limiter = redisLimiter({ ...options, client } as RedisLimiterOptions)
  const asked: (Decision | Promise<Decision>)[] = []
  for (let i = 0; i < calls; i++) asked.push(limiter.take('everybody'))
  const decisions = await Promise.all(asked)
  process.send!({
    allowed: decisions.filter(decision => decision.allowed).length,
    sources: [...new Set(decisions.map(decision => decision.source))],
  })
})
process.once('disconnect', () => client.disconnect())
process.send!('ready')
