/** Limits that several processes share through a real Redis, while that is killed, paused and replaced. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Cluster, Redis } from 'ioredis'
import { chain } from 'spillway'
import { breaker, circuit } from 'spillway/breaker'
import { deadline } from 'spillway/timeout'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decision, DecisionSource } from '../../src/ratelimit/limiter.ts'
import { type RedisLimiter, type RedisLimiterOptions, redisLimiter } from '../../src/ratelimit/redis/index.ts'
import { type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts'

const connection = { enableOfflineQueue: false, autoResendUnfulfilledCommands: false } as const
/** What a limiter may take, and what a busy machine may add to it; a client left to itself would wait for seconds. */
const QUOTA_MS = 50 + 400

const modes = ['exact', 'leased', 'fair'] as const
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

interface Counted {
  readonly allowed: number
  readonly sources: readonly DecisionSource[]
}

describe('two thousand calls at once from four processes, with a limit of a hundred', () => {
  const limits = { limit: 100, periodMs: 3_600_000 }
  let children: ChildProcess[]

  beforeAll(async () => {
    const file = fileURLToPath(new URL('redis-limiter-worker.ts', import.meta.url))
    const execArgv = ['--import', 'tsx']
    children = Array.from({ length: 4 }, () => fork(file, [String(server.port)], { execArgv }))
    await Promise.all(children.map(child => once(child, 'message')))
  })
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL')
  })

  test.each([
    ['exact', {}, 100, 100],
    ['leased', {}, 100 - 4 * 12, 100],
    ['fair', { refreshMs: 10_000 }, 100 - 4, 100 + 4],
  ] as const)('%s: %j grants from %i to %i of them', async (mode, more, least, most) => {
    // No call gives up: what is counted is what Redis granted.
    const patient = { nodes: 4, outage: 'closed', timeoutMs: 10_000 } as const
    const task = { options: { mode, name: `fleet-${mode}`, limits, ...patient, ...more }, calls: 500 }
    const answers = children.map(child => once(child, 'message') as Promise<[Counted]>)
    for (const child of children) child.send(task)
    const results = (await Promise.all(answers)).map(([result]) => result)
    const allowed = results.reduce((sum, result) => sum + result.allowed, 0)
    expect(allowed).toBeGreaterThanOrEqual(least)
    expect(allowed).toBeLessThanOrEqual(most)
    for (const { sources } of results) expect(sources).not.toContain('closed')
  })
})

interface Trial {
  readonly limiter: RedisLimiter
  readonly sources: Set<DecisionSource>
  longestMs: number
}

/** Calls every limiter for so long, a few times at once, and notes who answered and how long that took. */
async function load(trials: readonly Trial[], forMs: number): Promise<void> {
  const call = async (trial: Trial, key: string): Promise<void> => {
    const start = performance.now()
    const decision: Decision = await trial.limiter.take(key)
    trial.longestMs = Math.max(trial.longestMs, performance.now() - start)
    trial.sources.add(decision.source)
  }
  const end = performance.now() + forMs
  while (performance.now() < end) {
    for (const trial of trials) trial.sources.clear()
    await Promise.all(trials.flatMap(trial => ['a', 'b', 'c', 'd', 'e'].map(key => call(trial, key))))
    await pause(5)
  }
}

/** Until the limiters answer only as they should. */
async function until(
  trials: readonly Trial[],
  expected: (sources: Set<DecisionSource>) => boolean,
): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    await load(trials, 50)
    if (trials.every(({ sources }) => expected(sources))) return
  }
  throw new Error(`Sources stay ${trials.map(({ sources }) => [...sources].join()).join(' | ')}`)
}

const shared = (sources: Set<DecisionSource>): boolean => sources.has('redis') || sources.has('lease')

function trialsWith(client: Redis | Cluster, name: string): Trial[] {
  return modes.map(mode => {
    const options = {
      client,
      mode,
      name: `${name}-${mode}`,
      limits: { limit: 100_000, periodMs: 1_000 },
      nodes: 4,
    }
    return {
      limiter: redisLimiter(options as RedisLimiterOptions),
      sources: new Set<DecisionSource>(),
      longestMs: 0,
    }
  })
}

describe.each([
  ['killed', (): boolean => process.kill(server.pid, 'SIGKILL'), (): Promise<void> => server.restart()],
  [
    'paused',
    (): boolean => process.kill(server.pid, 'SIGSTOP'),
    (): boolean => process.kill(server.pid, 'SIGCONT'),
  ],
] as const)('a Redis that is %s', (name, fail, repair) => {
  test('keeps no call waiting, is replaced by shares that say so, and is found again', async () => {
    const client = new Redis(server.port, { ...connection, retryStrategy: () => 50 })
    client.on('error', () => undefined)
    await once(client, 'ready')
    const trials = trialsWith(client, name)
    await until(trials.slice(0, 2), shared)
    await load(trials, 200)
    fail()
    await until(trials, sources => [...sources].every(source => source === 'share'))
    await load(trials, 300)
    for (const { limiter, sources } of trials) {
      expect([...sources]).toEqual(['share'])
      expect(limiter.snapshot().redis.reachable).toBe(false)
    }
    await repair()
    await until(trials.slice(0, 2), shared)
    await until(trials, () => trials.every(({ limiter }) => limiter.snapshot().redis.reachable))
    for (const { longestMs } of trials) expect(longestMs).toBeLessThan(QUOTA_MS)
    await Promise.all(trials.map(({ limiter }) => limiter.close()))
    client.disconnect()
  })
})

test('a circuit and a deadline of the kit stand between a limiter and a Redis that hangs', async () => {
  const client = new Redis(server.port, connection)
  client.on('error', () => undefined)
  await once(client, 'ready')
  const redis = circuit({ name: 'limits', minimum: 2, failureRatio: 0.5, openMs: 60_000 })
  const limiter = redisLimiter({
    client,
    name: 'guarded',
    limits: { limit: 100, periodMs: 60_000 },
    nodes: 4,
    // Far longer than anybody should wait: what ends the wait is the deadline.
    timeoutMs: 10_000,
    around: chain(breaker(redis), deadline({ totalMs: 20 })),
  })
  expect(await limiter.take('a')).toMatchObject({ allowed: true, source: 'redis' })
  process.kill(server.pid, 'SIGSTOP')
  try {
    const start = performance.now()
    for (let i = 0; i < 4; i++) {
      expect(await limiter.take('a')).toMatchObject({ allowed: true, source: 'share' })
    }
    expect(performance.now() - start).toBeLessThan(4 * (20 + 400))
    expect(redis.snapshot().state).toBe('open')
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  await limiter.close()
  client.disconnect()
})

test('a cluster that loses a primary keeps no call waiting, and all keys are shared again after the failover', async () => {
  const cluster = await startRedisCluster()
  const client = new Cluster(
    cluster.ports.map(port => ({ host: '127.0.0.1', port })),
    {
      enableOfflineQueue: false,
      redisOptions: { autoResendUnfulfilledCommands: false },
      clusterRetryStrategy: () => 50,
      slotsRefreshTimeout: 500,
    },
  )
  client.on('error', () => undefined)
  await once(client, 'ready')
  const limiter = redisLimiter({
    client,
    name: 'cluster',
    limits: [
      { name: 'second', limit: 1_000_000, periodMs: 1_000 },
      { name: 'minute', limit: 1_000_000, windowMs: 60_000 },
    ],
    nodes: 4,
  })
  const trials = trialsWith(client, 'cluster').slice(1)
  // Braces and separators would send the two limits of a call to different servers.
  const keys = Array.from({ length: 40 }, (_, i) => [`user-${i}`, `{user}{${i}`, `a:{b}:${i}`][i % 3]!)
  let longestMs = 0
  const ask = async (): Promise<DecisionSource[]> =>
    Promise.all(
      keys.map(async key => {
        const start = performance.now()
        const { source } = await limiter.take(key)
        longestMs = Math.max(longestMs, performance.now() - start)
        return source
      }),
    )
  const all = (source: DecisionSource, sources: readonly DecisionSource[]): boolean =>
    sources.every(other => other === source)
  let before: DecisionSource[] = []
  for (let tries = 0; tries < 50 && !all('redis', before); tries++) before = await ask()
  expect(all('redis', before)).toBe(true)
  await until(trials.slice(0, 1), shared)
  await until(trials, () => trials.every(({ limiter }) => limiter.snapshot().redis.reachable))

  const primary = cluster.nodes[0]!
  process.kill(primary.pid, 'SIGKILL')
  const during = new Set<DecisionSource>()
  let after: DecisionSource[] = []
  for (let tries = 0; tries < 400 && (during.size < 2 || !all('redis', after)); tries++) {
    after = await ask()
    for (const source of after) during.add(source)
    await load(trials, 1)
    await pause(20)
  }
  expect(all('redis', after)).toBe(true)
  expect([...during].toSorted()).toEqual(['redis', 'share'])
  expect(longestMs).toBeLessThan(QUOTA_MS)
  await until(trials.slice(0, 1), shared)
  await until(trials, () => trials.every(({ limiter }) => limiter.snapshot().redis.reachable))
  for (const trial of trials) expect(trial.longestMs).toBeLessThan(QUOTA_MS)
  await Promise.all(trials.map(({ limiter }) => limiter.close()))
  client.disconnect()
  await cluster.stop()
})
