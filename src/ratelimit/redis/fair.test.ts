import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { Fleet, type FleetNode } from '../../../test/support/redis-fleet.ts'
import { TEST_TIME } from '../../../test/support/redis-time.ts'
import { createContext } from '../../core/context.ts'
import type { Criticality } from '../../core/criticality.ts'
import type { Decision } from '../limiter.ts'
import { buildLimiter } from './redis-limiter.ts'
import type { FairOptions, RedisLimiter } from './types.ts'

let client: Redis
let names = 0

ownRedis(started => {
  client = started
})

interface Member {
  readonly node: FleetNode
  readonly limiter: RedisLimiter
  /** Calls a millisecond. */
  load: number
  criticality: Criticality
  granted: number
  asked: number
}

/** A fleet of one limiter under steady load. */
class FairFleet {
  readonly fleet: Fleet
  readonly members: Member[] = []
  private readonly options: Partial<FairOptions>
  private readonly random: () => number

  constructor(options: Partial<FairOptions> = {}, delay = 2, random: () => number = seeded(1)) {
    names++
    this.fleet = new Fleet(client, () => Math.floor(random() * (delay + 1)))
    this.options = options
    this.random = random
  }

  join(load: number, criticality: Criticality = 'critical', options: Partial<FairOptions> = {}): Member {
    const node = this.fleet.join(this.random() * 1e9)
    const limiter = buildLimiter(
      {
        mode: 'fair',
        client: node.client,
        clock: node.clock,
        name: `fair-${names}`,
        limits: { limit: 1_000, periodMs: 1_000, burst: 100 },
        nodes: 4,
        ...this.options,
        ...options,
      } as FairOptions,
      TEST_TIME,
    )
    const member = { node, limiter, load, criticality, granted: 0, asked: 0 }
    this.members.push(member)
    return member
  }

  crash(member: Member): void {
    this.fleet.crash(member.node)
    this.members.splice(this.members.indexOf(member), 1)
  }

  async run(ms: number, cost: () => number = () => 1): Promise<void> {
    for (let i = 0; i < ms; i++) {
      for (const member of this.members) {
        const { limiter, node, load, criticality } = member
        const context = createContext({ clock: node.clock, criticality })
        for (let k = Math.floor(load + this.random()); k > 0; k--) {
          const c = cost()
          member.asked += c
          const settle = (decision: Decision): void => {
            if (!decision.allowed || node.crashed) return
            member.granted += c
            this.fleet.granted(c)
          }
          const asked = limiter.take('a', c, context)
          if (asked instanceof Promise) void asked.then(settle)
          else settle(asked)
        }
      }
      await this.fleet.pass(1)
    }
  }

  /** What each member is granted in a second, as a part of the limit. */
  async parts(ms = 1_000): Promise<number[]> {
    for (const member of this.members) member.granted = 0
    await this.run(ms)
    return this.members.map(({ granted }) => granted / ms)
  }

  async close(): Promise<void> {
    const closing = this.members.map(({ limiter }) => limiter.close())
    await this.fleet.pass(100)
    await Promise.all(closing)
    for (const { node } of this.members) expect(node.clock.armed).toBe(0)
  }
}

function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

test('gives everybody max-min fair shares: the modest what they want, the others the same', async () => {
  const fleet = new FairFleet()
  fleet.join(0.1)
  fleet.join(5)
  fleet.join(5)
  await fleet.run(2_000)
  const [modest, one, two] = (await fleet.parts()) as [number, number, number]
  expect(modest).toBeGreaterThan(0.08)
  expect(one).toBeGreaterThan(0.4)
  expect(two).toBeGreaterThan(0.4)
  expect(Math.abs(one - two)).toBeLessThan(0.05)
  await fleet.close()
})

test('shares grow with the weight', async () => {
  const fleet = new FairFleet()
  fleet.join(5, 'critical', { weight: 3 })
  fleet.join(5)
  await fleet.run(2_000)
  const [heavy, light] = (await fleet.parts()) as [number, number]
  expect(heavy / light).toBeGreaterThan(2.6)
  expect(heavy / light).toBeLessThan(3.4)
  await fleet.close()
})

test('refuses the least important first, on every process', async () => {
  const fleet = new FairFleet()
  const calm = fleet.join(0.5, 'critical-plus')
  fleet.join(3, 'sheddable')
  fleet.join(3, 'sheddable-plus')
  await fleet.run(2_000)
  calm.asked = 0
  const [critical, sheddable, plus] = (await fleet.parts()) as [number, number, number]
  expect(critical).toBeGreaterThan(0.95 * (calm.asked / 1_000))
  expect(plus).toBeGreaterThan(0.35)
  expect(sheddable).toBeLessThan(0.05)
  await fleet.close()
})

test('refuses the least important first within one process', async () => {
  const fleet = new FairFleet()
  const { limiter, node } = fleet.join(0)
  const granted = { critical: 0, sheddable: 0 }
  for (let ms = 0; ms < 4_000; ms++) {
    for (const criticality of ['sheddable', 'sheddable', 'critical'] as const) {
      const asked = limiter.take('a', 1, createContext({ clock: node.clock, criticality }))
      if (criticality === 'critical' && ms % 2 === 0) continue
      if (!(asked instanceof Promise) && asked.allowed && ms > 2_000) granted[criticality]++
    }
    await fleet.fleet.pass(1)
  }
  expect(granted.critical).toBeGreaterThan(900)
  expect(granted.sheddable).toBeLessThan(200)
  await fleet.close()
})

test('what a process leaves or a crash frees goes to the others', async () => {
  const fleet = new FairFleet()
  fleet.join(5)
  const other = fleet.join(5)
  await fleet.run(2_000)
  fleet.crash(other)
  await fleet.run(2_000)
  expect((await fleet.parts())[0]).toBeGreaterThan(0.9)
  const third = fleet.join(5)
  await fleet.run(2_000)
  expect((await fleet.parts())[1]).toBeGreaterThan(0.4)
  third.load = 0
  await Promise.all([third.limiter.close(), fleet.fleet.pass(20)])
  await fleet.run(1_000)
  expect((await fleet.parts())[0]).toBeGreaterThan(0.9)
  await fleet.close()
})

test('a process that joins a fleet with time to spare is served at once', async () => {
  const fleet = new FairFleet()
  fleet.join(0.1)
  await fleet.run(2_000)
  const late = fleet.join(0.1)
  await fleet.run(300)
  expect(late.granted).toBeGreaterThan(0.9 * late.asked)
  await fleet.close()
})

test('without Redis each process goes on with its safe share, and says so', async () => {
  const fleet = new FairFleet()
  const one = fleet.join(5)
  fleet.join(5)
  await fleet.run(2_000)
  fleet.fleet.redisAway = true
  await fleet.run(1_500)
  const [safe, other] = (await fleet.parts()) as [number, number]
  expect(safe).toBeGreaterThan(0.23)
  expect(safe).toBeLessThan(0.26)
  expect(other).toBeLessThan(0.26)
  expect(one.limiter.snapshot().redis.reachable).toBe(false)
  fleet.fleet.redisAway = false
  await fleet.run(3_000)
  expect(one.limiter.snapshot().redis.reachable).toBe(true)
  expect((await fleet.parts())[0]).toBeGreaterThan(0.45)
  await fleet.close()
})

test('a share ends when its time is over, counted from the question and not from the answer', async () => {
  names++
  const fleet = new Fleet(client, () => 20)
  const node = fleet.join(0)
  const limiter = buildLimiter(
    {
      mode: 'fair',
      client: node.client,
      clock: node.clock,
      name: `fair-${names}`,
      limits: { limit: 1_000, periodMs: 1_000 },
      nodes: 4,
      refreshMs: 1_000,
      leaseMs: 2_000,
      outage: 'closed',
    },
    TEST_TIME,
  )
  void limiter.take('a')
  await fleet.pass(100)
  fleet.redisAway = true
  await fleet.pass(1_899)
  expect(limiter.take('a')).toMatchObject({ allowed: true, source: 'share' })
  await fleet.pass(1)
  const late = Promise.resolve(limiter.take('a'))
  await fleet.pass(100)
  expect(await late).toMatchObject({ allowed: false, source: 'closed' })
  await Promise.all([limiter.close(), fleet.pass(100)])
})

test('blocks, denies for ever and answers without a share like every limiter', async () => {
  const fleet = new FairFleet({ outage: 'closed' })
  const { limiter, node } = fleet.join(1)
  await fleet.run(100)
  void limiter.block('a', 50)
  expect(limiter.take('a')).toMatchObject({ allowed: false, retryAfterMs: 50, source: 'share' })
  expect(limiter.take('a', 0)).toMatchObject({ allowed: false })
  const never = Promise.resolve(limiter.take('a', 101))
  await fleet.fleet.pass(10)
  expect(await never).toMatchObject({ allowed: false, retryAfterMs: Infinity })
  fleet.fleet.redisAway = true
  const away = Promise.resolve(limiter.take('new', 1, createContext({ clock: node.clock })))
  await fleet.fleet.pass(60)
  expect(await away).toMatchObject({ allowed: false, source: 'closed' })
  fleet.fleet.redisAway = false
  await fleet.fleet.pass(1_000)
  await fleet.close()
})

const traffic = fc.record({
  seed: fc.integer(),
  limit: fc.integer({ min: 50, max: 2_000 }),
  burst: fc.integer({ min: 5, max: 300 }),
  delay: fc.integer({ min: 0, max: 60 }),
  loads: fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 3, maxLength: 3 }),
})

test('a fleet with crashes, messages that overtake each other and clocks of its own never exceeds the stated bound', async () => {
  await fc.assert(
    fc.asyncProperty(traffic, async ({ seed, limit, burst, delay, loads }) => {
      const random = seeded(seed)
      const options = { limits: { limit, periodMs: 1_000, burst }, nodes: 3, outage: 'closed' as const }
      const fleet = new FairFleet(options, delay, random)
      for (const load of loads) fleet.join(load)
      for (let i = 0; i < 12; i++) {
        await fleet.run(200, () => 1 + Math.floor(random() * 2))
        const member = fleet.members[Math.floor(random() * fleet.members.length)]!
        if (random() < 0.3) {
          fleet.crash(member)
          fleet.join(member.load)
        } else member.load = random() * 3
      }
      // Grants of a crashed process count too, and every process may be one cost below zero.
      expect(fleet.fleet.excess(burst, limit / 1_000)).toBeLessThanOrEqual(3 * 2)
    }),
    { numRuns: 12, seed: 11 },
  )
})

test('a process with more keys than maxKeys counts them beside the shares: no more than twice the limit', async () => {
  const [limit, burst] = [1_000, 100]
  const fleet = new FairFleet({ limits: { limit, periodMs: 1_000, burst } })
  const crowded = fleet.join(3, 'critical', { maxKeys: 1 })
  void crowded.limiter.take('other')
  fleet.join(3)
  fleet.join(3)
  for (let i = 0; i < 20; i++) {
    // The only share of this process stays in use.
    void crowded.limiter.take('other')
    await fleet.run(50)
  }
  const { sources } = crowded.limiter.snapshot()
  expect(sources.redis).toBeGreaterThan(500)
  // The limit in Redis and the limit in shares are counted apart, so this is more than one and at most two.
  expect(fleet.fleet.excess(burst, limit / 1_000)).toBeGreaterThan(3)
  expect(fleet.fleet.excess(2 * burst, (2 * limit) / 1_000)).toBeLessThanOrEqual(3)
  await fleet.close()
})
