import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { Fleet, type FleetNode } from '../../../test/support/redis-fleet.ts'
import { TEST_TIME } from '../../../test/support/redis-time.ts'
import type { Decision } from '../limiter.ts'
import { buildLimiter } from './redis-limiter.ts'
import type { LeasedOptions, RedisLimiter } from './types.ts'

let client: Redis
let names = 0

ownRedis(started => {
  client = started
})

function leasedFor(node: FleetNode, options: Partial<LeasedOptions> = {}): RedisLimiter {
  return buildLimiter(
    {
      mode: 'leased',
      client: node.client,
      clock: node.clock,
      name: `leased-${names}`,
      limits: { limit: 1_000, periodMs: 1_000 },
      nodes: 1,
      outage: 'closed',
      ...options,
    } as LeasedOptions,
    TEST_TIME,
  )
}

/** A decision, however long the simulated network takes. */
async function decided(fleet: Fleet, asked: Decision | Promise<Decision>): Promise<Decision> {
  let decision: Decision | undefined
  void Promise.resolve(asked).then(value => {
    decision = value
  })
  for (let ms = 0; decision === undefined; ms++) {
    if (ms > 200) throw new Error('No decision')
    await fleet.pass(1)
  }
  return decision
}

test('answers at once from what it has taken ahead, with few commands', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limiter = leasedFor(fleet.join(5_000_000))
  expect((await decided(fleet, limiter.take('a'))).source).toBe('redis')
  let atOnce = 0
  for (let ms = 0; ms < 1_000; ms++) {
    const decision = limiter.take('a')
    if (!(decision instanceof Promise)) atOnce++
    await fleet.pass(1)
  }
  const { redis, allowed, sources } = limiter.snapshot()
  expect(allowed).toBeGreaterThan(990)
  expect(atOnce / 1_000).toBeGreaterThan(0.95)
  expect(sources.lease).toBeGreaterThan(950)
  expect(allowed / redis.commands).toBeGreaterThan(20)
  await Promise.all([limiter.close(), fleet.pass(10)])
})

test('returns what it holds when idle and when closed, to the last token', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limiter = leasedFor(fleet.join(0), { limits: { limit: 1, periodMs: 1_000_000, burst: 1_000 } })
  const other = leasedFor(fleet.join(77_000))
  other.update({ limits: { limit: 1, periodMs: 1_000_000, burst: 1_000 } })
  for (let i = 0; i < 50; i++) await decided(fleet, limiter.take('a'))
  expect(limiter.snapshot().onLease).toBeGreaterThan(0)
  await fleet.pass(3_000)
  expect(limiter.snapshot()).toMatchObject({ onLease: 0, keys: 0 })
  expect((await decided(fleet, other.peek('a'))).remaining).toBe(950)
  await decided(fleet, limiter.take('a'))
  expect(limiter.snapshot().onLease).toBeGreaterThan(0)
  await Promise.all([limiter.close(), fleet.pass(100)])
  expect((await decided(fleet, other.peek('a'))).remaining).toBe(949)
  for (const { clock } of fleet.nodes) expect(clock.armed).toBe(0)
})

test('a limit too small to lease is exact to the end', async () => {
  names++
  const fleet = new Fleet(client, () => 2)
  const limits = { limit: 10, periodMs: 60_000 }
  const limiters = [1, 2, 3, 4].map(i => leasedFor(fleet.join(i * 1_000), { limits, nodes: 4 }))
  let granted = 0
  for (let i = 0; i < 40; i++) granted += (await decided(fleet, limiters[i % 4]!.take('a'))).allowed ? 1 : 0
  expect(granted).toBe(10)
})

test('spends what it holds while Redis is away, then the outage policy decides', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limiter = leasedFor(fleet.join(0))
  for (let ms = 0; ms < 20; ms++) await decided(fleet, limiter.take('a'))
  fleet.redisAway = true
  const held = limiter.snapshot().onLease
  const sources: string[] = []
  for (let i = 0; i < held + 5; i++) sources.push((await decided(fleet, limiter.take('a'))).source)
  expect(sources.slice(0, held)).toEqual(Array.from({ length: held }, () => 'lease'))
  expect(sources.slice(held)).toEqual(['closed', 'closed', 'closed', 'closed', 'closed'])
  fleet.redisAway = false
  await fleet.pass(200)
  limiter.take('a')
  await fleet.pass(20)
  expect((await decided(fleet, limiter.take('a'))).allowed).toBe(true)
})

test('takes as much ahead as a key spends: little for a quiet one, much for a busy one', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limiter = leasedFor(fleet.join(0))
  const most = async (steps: number, everyMs: number, calls: number): Promise<number> => {
    let held = 0
    for (let i = 0; i < steps; i++) {
      for (let k = 0; k < calls; k++) void limiter.take('a')
      await fleet.pass(everyMs)
      held = Math.max(held, limiter.snapshot().onLease)
    }
    return held
  }
  expect(await most(20, 50, 1)).toBeLessThan(20)
  expect(await most(300, 1, 1)).toBeGreaterThan(60)
  await Promise.all([limiter.close(), fleet.pass(10)])
})

test('a lease ends when its time is over, counted from the question and not from the answer', async () => {
  names++
  const fleet = new Fleet(client, () => 20)
  const limiter = leasedFor(fleet.join(0), { leaseMs: 200 })
  for (const key of ['a', 'b']) void limiter.take(key)
  await fleet.pass(199)
  expect(limiter.snapshot().onLease).toBeGreaterThan(1)
  expect(limiter.take('a')).toMatchObject({ allowed: true, source: 'lease' })
  await fleet.pass(1)
  expect(limiter.take('b')).toBeInstanceOf(Promise)
  await fleet.pass(100)
  await Promise.all([limiter.close(), fleet.pass(100)])
})

test('what was granted on lease is known to the share that stands in for Redis', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limits = { limit: 1, periodMs: 1_000_000, burst: 100 }
  const limiter = leasedFor(fleet.join(0), { limits, nodes: 2, outage: 'local' })
  for (let i = 0; i < 60; i++) expect((await decided(fleet, limiter.take('a'))).allowed).toBe(true)
  expect(limiter.snapshot().sources.lease).toBeGreaterThan(20)
  fleet.redisAway = true
  const { onLease } = limiter.snapshot()
  for (let i = 0; i < onLease; i++) expect((await decided(fleet, limiter.take('a'))).source).toBe('lease')
  expect(await decided(fleet, limiter.take('a'))).toMatchObject({ allowed: false, source: 'share' })
})

test('a block ends a lease, and a key more than there is room for is asked for call by call', async () => {
  names++
  const fleet = new Fleet(client, () => 1)
  const limiter = leasedFor(fleet.join(0), { maxKeys: 1 })
  await decided(fleet, limiter.take('a'))
  void limiter.block('a', 100)
  expect(await decided(fleet, limiter.take('a'))).toMatchObject({ allowed: false, source: 'cache' })
  await fleet.pass(101)
  expect(await decided(fleet, limiter.take('a'))).toMatchObject({ allowed: true })
  for (let i = 0; i < 5; i++) {
    expect(await decided(fleet, limiter.take('b'))).toMatchObject({ allowed: true, source: 'redis' })
  }
  expect(limiter.snapshot().keys).toBe(1)
})

const traffic = fc.record({
  seed: fc.integer(),
  limit: fc.integer({ min: 20, max: 400 }),
  burst: fc.integer({ min: 8, max: 120 }),
  maxLease: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
  delay: fc.integer({ min: 0, max: 45 }),
  load: fc.integer({ min: 1, max: 6 }),
})

test('a fleet with crashes, late messages and clocks of its own never exceeds the stated bound', async () => {
  await fc.assert(
    fc.asyncProperty(traffic, async ({ seed, limit, burst, maxLease, delay, load }) => {
      names++
      let state = seed >>> 0
      const random = (): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        return state / 2 ** 32
      }
      const fleet = new Fleet(client, () => Math.floor(random() * (delay + 1)))
      const nodes = 3
      const largest = 3
      const options = {
        limits: { limit, periodMs: 1_000, burst },
        nodes,
        ...(maxLease !== undefined && { maxLease }),
      }
      const join = (): [FleetNode, RedisLimiter] => {
        const node = fleet.join(random() * 1e9)
        return [node, leasedFor(node, options)]
      }
      const members = Array.from({ length: nodes }, join)
      for (let ms = 0; ms < 1_500; ms++) {
        for (const [i, [node, limiter]] of members.entries()) {
          for (let k = 0; k < load; k++) {
            if (random() > 0.2) continue
            const cost = 1 + Math.floor(random() * largest)
            const settle = (decision: Decision): void => {
              if (decision.allowed && !node.crashed) fleet.granted(cost)
            }
            const asked = limiter.take('a', cost)
            if (asked instanceof Promise) void asked.then(settle)
            else settle(asked)
          }
          if (random() < 0.001) {
            fleet.crash(node)
            members[i] = join()
          }
        }
        await fleet.pass(1)
      }
      const q = maxLease ?? Math.floor(burst / (2 * nodes))
      expect(fleet.excess(burst, limit / 1_000)).toBeLessThanOrEqual(nodes * Math.max(q, largest))
    }),
    { numRuns: 8, seed: 7 },
  )
})
