import { Cluster, Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { startRedis, startRedisCluster } from './redis.ts'

describe('the servers that tests start', () => {
  it('start, restart empty, and stop', async () => {
    const server = await startRedis()
    const client = new Redis(server.port)
    await client.set('a', '1')
    const before = server.pid
    client.disconnect()
    await server.restart()
    expect(server.pid).not.toBe(before)
    const again = new Redis(server.port)
    expect(await again.get('a')).toBeNull()
    again.disconnect()
    await server.stop()
    expect(() => process.kill(server.pid, 0)).toThrow()
  })

  it('form a cluster that serves every slot', async () => {
    const cluster = await startRedisCluster()
    const client = new Cluster(cluster.ports.map(port => ({ host: '127.0.0.1', port })))
    for (let i = 0; i < 50; i++) await client.set(`key-${i}`, String(i))
    expect(await client.get('key-49')).toBe('49')
    client.disconnect()
    await cluster.stop()
  })
})
