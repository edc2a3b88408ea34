import { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { type RedisServer, startRedis } from './redis.ts'

/** A redis of a test file's own: started before its tests, whom `use` hands the client to, and stopped after them. */
export function ownRedis(use: (client: Redis) => void): void {
  let server: RedisServer
  let client: Redis
  beforeAll(async () => {
    server = await startRedis()
    // A command that cannot be sent now fails, and none is sent twice: what a limiter does of itself can be seen.
    client = new Redis(server.port, { enableOfflineQueue: false, autoResendUnfulfilledCommands: false })
    await new Promise(resolve => client.once('ready', resolve))
    use(client)
  })
  afterAll(async () => {
    client.disconnect()
    await server.stop()
  })
}
