import { expect, test } from 'vitest'
import { manualClock } from '../../testing/index.ts'
import { compileLimits, policiesOf, type RedisLimit } from './limits.ts'

test.each([
  [{ limit: 10, periodMs: 1_000 }, ['10', '100000', '1', 'gcra']],
  [{ limit: 3, periodMs: 1_000 }, ['3', '1000000', '3', 'gcra']],
  [{ limit: 300_000, periodMs: 1_000, burst: 7 }, ['7', '10', '3', 'gcra']],
  [{ limit: 0, periodMs: 1_000, burst: 7 }, ['0', '1000000', '1', 'gcra']],
  [{ limit: 5, windowMs: 1 }, ['5', '100', '10', 'whole']],
  [{ limit: 5, windowMs: 60_000, buckets: 1, oldest: 'weighted' }, ['5', '60000000', '1', 'weighted']],
] as [RedisLimit, string[]][])('%j is exact in microseconds', (limit, args) => {
  expect(compileLimits('name', limit)[0]!.args).toEqual(args)
})

test('a rate without a small fraction is never faster than it says, and slower by less than a thousandth', () => {
  const { emission, parts } = compileLimits('n', { limit: 1_000_003, periodMs: 86_400_000 })[0]!.bucket!
  const exact = 86_400_000_000 / 1_000_003
  expect(emission / parts).toBeGreaterThanOrEqual(exact)
  expect(emission / parts).toBeLessThan(exact * 1.001)
})

test('promises what its header field says', () => {
  const limits = compileLimits('api', [
    { name: 'burst', limit: 10, periodMs: 1_000, burst: 20 },
    { name: 'day', limit: 1_000, windowMs: 86_400_000 },
  ])
  expect(policiesOf(limits)).toEqual([
    { name: 'burst', quota: 20, windowMs: 2_000 },
    { name: 'day', quota: 1_000, windowMs: 86_400_000 },
  ])
})

test.each([
  [{ limit: 10, periodMs: 1_000 }, 4, 2],
  [{ limit: 3, periodMs: 1_000 }, 4, 1],
  [{ limit: 0, periodMs: 1_000 }, 4, 0],
  [{ limit: 3, windowMs: 1_000 }, 4, 1],
  [{ limit: 0, windowMs: 1_000 }, 4, 0],
] as [RedisLimit, number, number][])('one of %j in %i shares grants %i at once', (limit, nodes, part) => {
  const share = compileLimits('n', limit)[0]!.share(nodes, manualClock(), 10)
  expect(share.peek('a').limit).toBe(part)
})

test('shares below one each add up to the limit in the long run', () => {
  const clock = manualClock()
  const share = compileLimits('n', { limit: 3, windowMs: 1_000 })[0]!.share(6, clock, 10)
  let granted = 0
  for (let ms = 0; ms < 100_000; ms += 10) granted += share.take('a', 1, ms).allowed ? 1 : 0
  expect(granted * 6).toBeLessThanOrEqual(3 * 100 + 6)
})
