import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'

/** A real redis-server that belongs to one test. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly pid: number
  /** Starts the same server again on the same port, empty, after it was stopped or killed. */
  restart(): Promise<void>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

/** A real cluster: three primaries, each with a replica. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  readonly ports: readonly number[]
  stop(): Promise<void>
}

const started = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL')
})

/** Starts redis-server on a free port of this machine, keeping nothing on disk. */
export async function startRedis(extra: readonly string[] = []): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'spillway-redis-'))
  const port = await freePort()
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'no',
  ]
  let child = await launch([...args, ...extra], port)
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child.pid!
    },
    async restart() {
      await end(child)
      child = await launch([...args, ...extra], port)
    },
    async stop() {
      await end(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts a cluster of six servers and waits until every one of them knows all slots. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const options = [
    '--cluster-enabled',
    'yes',
    '--cluster-node-timeout',
    '1000',
    '--repl-diskless-sync-delay',
    '0',
  ]
  const nodes = await Promise.all(Array.from({ length: 6 }, () => startRedis(options)))
  const addresses = nodes.map(node => `127.0.0.1:${node.port}`)
  const create = ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes']
  await promisify(execFile)('redis-cli', create)
  await Promise.all(nodes.map(node => until(node.port, clusterIsWhole)))
  return {
    nodes,
    ports: nodes.map(node => node.port),
    async stop() {
      await Promise.all(nodes.map(node => node.stop()))
    },
  }
}

async function clusterIsWhole(client: Redis): Promise<boolean> {
  const info = String(await client.call('CLUSTER', 'INFO'))
  const nodes = String(await client.call('CLUSTER', 'NODES'))
  return info.includes('cluster_state:ok') && nodes.split('slave').length - 1 === 3
}

async function launch(args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const failed = once(child, 'error').then(([error]) => {
    throw new Error(
      `redis-server does not start (${(error as Error).message}); npm test installs it where it can`,
    )
  })
  started.add(child)
  child.once('exit', () => started.delete(child))
  await Promise.race([until(port, async client => (await client.ping()) === 'PONG'), failed])
  failed.catch(() => undefined)
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Asks again and again until the server says yes. */
async function until(port: number, ready: (client: Redis) => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    client.on('error', () => undefined)
    try {
      await client.connect()
      if (await ready(client)) return
    } catch {
      // Not up yet.
    } finally {
      client.disconnect()
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`The redis-server on port ${port} does not become ready`)
}

/** A port that nobody uses, low enough for the bus of a cluster node, which is 10,000 above it. */
async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port is free')
  return address.port <= 55_000 ? address.port : freePort()
}
