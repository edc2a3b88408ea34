/** The script against models in BigInt, through a real redis whose clock is a key. */
import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ownRedis } from '../../../test/support/own-redis.ts'
import { setTime, TEST_TIME } from '../../../test/support/redis-time.ts'
import { exactScript } from './exact-script.ts'

const script = exactScript(TEST_TIME)
let client: Redis
let traces = 0

ownRedis(started => {
  client = started
})

interface Model {
  readonly args: readonly (string | number)[]
  readonly limit: bigint
  /** The largest cost that would be granted. */
  room(now: bigint): bigint
  reset(now: bigint): bigint
  add(cost: bigint, now: bigint): void
  give(cost: bigint, now: bigint, takenAt: bigint): void
}

/** A token bucket, in credit; the script counts debt. */
function bucket(limit: number, emission: number, parts: number): Model {
  const [full, one, speed] = [BigInt(limit) * BigInt(emission), BigInt(emission), BigInt(parts)]
  let credit = full
  let at = 0n
  const creditAt = (now: bigint): bigint => min(full, credit + (now - at) * speed)
  const set = (now: bigint, to: bigint): void => {
    credit = to
    at = now
  }
  return {
    args: [limit, emission, parts, 'gcra'],
    limit: BigInt(limit),
    room(now) {
      return max(0n, creditAt(now)) / one
    },
    reset(now) {
      return (full - creditAt(now) + speed - 1n) / speed
    },
    add(cost, now) {
      set(now, max(-full, creditAt(now) - cost * one))
    },
    give(cost, now) {
      set(now, min(full, creditAt(now) + cost * one))
    },
  }
}

/** All that was granted, each with its bucket. */
function window(limit: number, width: number, buckets: number, oldest: 'whole' | 'weighted'): Model {
  const [b, n, l] = [BigInt(width), BigInt(buckets), BigInt(limit)]
  const counts = new Map<bigint, bigint>()
  const within = (now: bigint): [bigint, bigint][] =>
    [...counts].filter(([index, count]) => index >= now / b - n && count > 0n)
  return {
    args: [limit, width, buckets, oldest],
    limit: l,
    room(now) {
      let used = 0n
      for (const [index, count] of within(now)) {
        const out = oldest === 'weighted' && index === now / b - n ? now % b : 0n
        used += count * (b - out)
      }
      const left = l * b - used
      return left > 0n ? left / b : 0n
    },
    reset(now) {
      return within(now).reduce((last, [index]) => max(last, (index + n + 1n) * b - now), 0n)
    },
    add(cost, now) {
      const sum = within(now).reduce((total, [, count]) => total + count, 0n)
      const index = now / b
      counts.set(index, (counts.get(index) ?? 0n) + min(cost, max(0n, 2n * l - sum)))
    },
    give(cost, now, takenAt) {
      const index = takenAt / b
      if (index < now / b - n) return
      counts.set(index, max(0n, (counts.get(index) ?? 0n) - cost))
    },
  }
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)

const models = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4_000 })),
      fc.integer({ min: 1, max: 4 }),
    )
    .map(
      ([limit, emission, parts]) =>
        () =>
          bucket(limit, emission, parts),
    ),
  fc
    .tuple(
      fc.integer({ min: 0, max: 12 }),
      fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 4_000 })),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom('whole' as const, 'weighted' as const),
    )
    .map(
      ([limit, width, buckets, oldest]) =>
        () =>
          window(limit, width, buckets, oldest),
    ),
)

/** Half of them have the one limit that the script has a path of its own for. */
const calls = fc.oneof(
  fc.array(models, { minLength: 1, maxLength: 3 }),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 9 }))
    .map(([limit, emission]) => [() => bucket(limit, emission, 1)]),
)

const steps = fc.array(
  fc.record({
    wait: fc.oneof(
      fc.constant(0),
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 0, max: 90 }),
      fc.integer({ min: 0, max: 9_000 }),
    ),
    operation: fc.constantFrom('take', 'take', 'take', 'take', 'peek', 'refund', 'charge'),
    cost: fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 14 })),
    age: fc.integer({ min: 0, max: 20 }),
    short: fc.boolean(),
    /** After a denial: when it said, or one microsecond before. */
    aim: fc.constantFrom('anywhere', 'anywhere', 'at', 'before'),
  }),
  { minLength: 1, maxLength: 25 },
)

const START = 90_000_000_000_000

async function run(
  keys: readonly string[],
  args: readonly (string | number)[],
  now: number,
): Promise<number[]> {
  void setTime(client, now)
  return (await script.run(client, keys, args)) as number[]
}

test('decisions, remaining, waits and resets are those of the exact models, to the microsecond', async () => {
  await fc.assert(
    fc.asyncProperty(calls, steps, async (makers, trace) => {
      const limits = makers.map(make => make())
      const keys = [...limits.map((_, i) => `{trace-${traces}}:${i}`), `{trace-${traces++}}:#block`]
      const tail = limits.flatMap(limit => limit.args)
      let now = START
      let denied: { cost: number; wait: number } | undefined
      for (const { wait, operation: any, cost: other, age, short, aim } of trace) {
        const aimed = aim === 'anywhere' ? undefined : denied
        const [operation, cost] = aimed === undefined ? [any, other] : ['take' as const, aimed.cost]
        now += aimed === undefined ? wait : aimed.wait - (aim === 'before' ? 1 : 0)
        const [t, c] = [BigInt(now), BigInt(cost)]
        const granted = limits.every(limit => c <= limit.limit && limit.limit > 0n && limit.room(t) >= c)
        const before = operation === 'take' && !granted ? await dump(keys) : undefined
        const shortened =
          short && operation === 'take' && tail.length === 4 && tail.slice(2).join() === '1,gcra'
        const said = shortened ? [...tail.slice(0, 2), ...(cost === 1 ? [] : [cost])] : undefined
        const reply = await run(keys, said ?? [operation, cost, age, ...tail], now)
        expect(reply[0]).toBe(granted ? 1 : 0)
        const longest = Math.max(...limits.map((_, i) => reply[2 + 3 * i]!))
        denied = granted || longest <= 0 ? undefined : { cost, wait: longest }
        // What is denied writes nothing, not even a time to live.
        if (before !== undefined) expect(await dump(keys)).toEqual(before)
        for (const [i, limit] of limits.entries()) {
          const never = c > limit.limit || limit.limit === 0n
          const told = BigInt(reply[2 + 3 * i]!)
          if (never) expect(told).toBe(-1n)
          else if (c === 0n || limit.room(t) >= c) expect(told).toBe(0n)
          else {
            expect(told > 0n && limit.room(t) < c).toBe(true)
            expect(limit.room(t + told - 1n) < c).toBe(true)
            expect(limit.room(t + told) >= c).toBe(true)
          }
          if (operation === 'charge' || (operation === 'take' && granted)) limit.add(c, t)
          if (operation === 'refund') limit.give(c, t, t - BigInt(age))
          expect(BigInt(reply[3 + 3 * i]!)).toBe(limit.room(t))
          const reset = Number(limit.reset(t))
          expect(reply[4 + 3 * i]).toBe(reset)
          // The key lives until it is as good as new: not a millisecond less, nor a whole one more.
          const wrote = cost > 0 && operation === 'take' && granted
          if (wrote && limit.limit > 0n) {
            expect(Number(await client.get(`test:ttl:${keys[i]}`))).toBe(Math.max(1, Math.ceil(reset / 1000)))
          }
        }
      }
    }),
    { numRuns: 250, seed: 20261121 },
  )
})

async function dump(keys: readonly string[]): Promise<unknown> {
  const values = await client.mget(...keys)
  return [values, await Promise.all(keys.map(key => client.pexpiretime(key)))]
}
