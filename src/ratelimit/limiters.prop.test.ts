import fc from 'fast-check'
import { describe } from 'vitest'
import { type Conformance, itConforms, type Subject } from '../../test/support/limiter-conformance.ts'
import {
  alignedWindowModel,
  anchoredWindowModel,
  bucketsModel,
  gcraModel,
  leakyModel,
  logModel,
  tokenModel,
  warmUpModel,
} from '../../test/support/limiter-models.ts'
import { fixedWindow } from './fixed-window.ts'
import { gcra } from './gcra.ts'
import { leakyBucket } from './leaky-bucket.ts'
import type { Limiter } from './limiter.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import type { LimiterSnapshot } from './slot-limiter.ts'
import { tokenBucket } from './token-bucket.ts'
import { warmUp } from './warm-up.ts'

/** Where the clock stands at the first call: a whole millisecond. */
const START_MS = 1_234_567

function subjectOf(limiter: Limiter<any, LimiterSnapshot>): Subject {
  const ms = (us: number): number => START_MS + us / 1000
  return {
    take: (key, cost, at) => limiter.take(key, cost, ms(at)),
    peek: (key, cost, at) => limiter.peek(key, cost, ms(at)),
    refund: (key, cost, at) => limiter.refund(key, cost, ms(at)),
    overflowed: () => limiter.snapshot().overflowed,
  }
}

/** Rates whose intervals are whole numbers of the limiter's units, and microseconds are too. */
const rates = fc.constantFrom(1, 2, 3, 7, 10, 31, 60, 100, 1000, 12_000)
const bursts = fc.integer({ min: 0, max: 12 })
const bucketParams = fc.record({ rate: rates, burst: bursts })
type BucketParams = { rate: number; burst: number }
const bucket: Pick<Conformance<BucketParams>, 'params' | 'limit' | 'edges' | 'bound'> = {
  params: bucketParams,
  limit: ({ burst }) => burst,
  edges: ({ rate, burst }) => [1e6 / rate, (burst * 1e6) / rate],
  bound: ({ rate, burst }, us) => burst + (rate * us) / 1e6,
}

describe('tokenBucket', () => {
  itConforms<BucketParams>({
    ...bucket,
    make: ({ rate, burst }, maxKeys) => subjectOf(tokenBucket({ ratePerSecond: rate, burst, maxKeys })),
    model: ({ rate, burst }) => tokenModel(BigInt(rate), BigInt(burst)),
  })
})

describe('tokenBucket, refilled in steps', () => {
  const stepUs = 250_000
  // The clock's first reading is not a multiple of the step; steps lie on the limiter's own time.
  itConforms<BucketParams>({
    ...bucket,
    edges: ({ rate, burst }) => [stepUs, 1e6 / rate, (burst * 1e6) / rate],
    bound: ({ rate, burst }, us) => burst + (rate * (us + stepUs)) / 1e6,
    make: ({ rate, burst }, maxKeys) =>
      subjectOf(tokenBucket({ ratePerSecond: rate, burst, refillEveryMs: stepUs / 1000, maxKeys })),
    model: ({ rate, burst }) => tokenModel(BigInt(rate), BigInt(burst), BigInt(stepUs)),
  })
})

describe('leakyBucket', () => {
  itConforms<BucketParams>({
    ...bucket,
    make: ({ rate, burst }, maxKeys) =>
      subjectOf(leakyBucket({ leakPerSecond: rate, capacity: burst, maxKeys })),
    model: ({ rate, burst }) => leakyModel(BigInt(rate), BigInt(burst)),
  })
})

describe('gcra', () => {
  itConforms<{ limit: number; periodMs: number; burst: number }>({
    params: fc.record({
      limit: fc.constantFrom(1, 3, 10, 100),
      periodMs: fc.constantFrom(10, 1000, 60_000),
      burst: bursts,
    }),
    limit: ({ burst }) => burst,
    edges: ({ limit, periodMs, burst }) => [
      (periodMs * 1000) / limit,
      (burst * periodMs * 1000) / limit,
      periodMs * 1000,
    ],
    bound: ({ limit, periodMs, burst }, us) => burst + (limit * us) / (periodMs * 1000),
    make: (params, maxKeys) => subjectOf(gcra({ ...params, maxKeys })),
    model: ({ limit, periodMs, burst }) => gcraModel(BigInt(limit), BigInt(periodMs * 1000), BigInt(burst)),
  })
})

const windowParams = fc.record({
  limit: fc.integer({ min: 0, max: 10 }),
  windowMs: fc.constantFrom(1, 100, 1000, 60_000),
})
type WindowParams = { limit: number; windowMs: number }
const windowed: Pick<Conformance<WindowParams>, 'params' | 'limit' | 'edges'> = {
  params: windowParams,
  limit: ({ limit }) => limit,
  edges: ({ windowMs }) => [windowMs * 1000, windowMs * 500],
}
/** How many windows of length W an interval can touch, if each of them is worth the limit. */
const windowsIn = (windowMs: number, us: number): number => Math.floor(us / (windowMs * 1000)) + 2

describe('fixedWindow from the first call', () => {
  itConforms<WindowParams>({
    ...windowed,
    bound: ({ limit, windowMs }, us) => limit * windowsIn(windowMs, us),
    make: (params, maxKeys) => subjectOf(fixedWindow({ ...params, maxKeys })),
    model: ({ limit, windowMs }) => anchoredWindowModel(BigInt(limit), BigInt(windowMs * 1000)),
  })
})

describe('fixedWindow on the clock', () => {
  itConforms<WindowParams>({
    ...windowed,
    bound: ({ limit, windowMs }, us) => limit * windowsIn(windowMs, us),
    make: (params, maxKeys) => subjectOf(fixedWindow({ ...params, anchor: 'clock', maxKeys })),
    model: ({ limit, windowMs }) =>
      alignedWindowModel(BigInt(limit), BigInt(windowMs * 1000), BigInt(START_MS * 1000)),
  })
})

describe('slidingLog', () => {
  itConforms<WindowParams>({
    ...windowed,
    // In every half-open interval of length W: a closed one of length W touches one more instant.
    bound: ({ limit, windowMs }, us) => limit * (Math.floor(us / (windowMs * 1000)) + 1),
    make: (params, maxKeys) => subjectOf(slidingLog({ ...params, maxKeys })),
    model: ({ limit, windowMs }) => logModel(BigInt(limit), BigInt(windowMs * 1000)),
  })
})

const bucketCounts = fc.constantFrom(1, 2, 3, 7, 10, 60)

describe('slidingWindow', () => {
  itConforms<WindowParams & { buckets: number }>({
    ...windowed,
    params: fc.record({
      limit: fc.integer({ min: 0, max: 10 }),
      windowMs: fc.constantFrom(100, 1000, 60_000),
      buckets: bucketCounts,
    }),
    edges: ({ windowMs, buckets }) => [(windowMs * 1000) / buckets, windowMs * 1000],
    bound: ({ limit, windowMs }, us) => limit * (Math.floor(us / (windowMs * 1000)) + 1),
    make: (params, maxKeys) => subjectOf(slidingWindow({ ...params, maxKeys })),
    model: ({ limit, windowMs, buckets }) =>
      bucketsModel(BigInt(limit), BigInt(windowMs * 1000), BigInt(buckets), false),
  })
})

describe('slidingWindow with a weighted bucket', () => {
  itConforms<WindowParams & { buckets: number }>({
    ...windowed,
    params: fc.record({
      limit: fc.integer({ min: 0, max: 10 }),
      windowMs: fc.constantFrom(100, 1000, 60_000),
      buckets: bucketCounts,
    }),
    edges: ({ windowMs, buckets }) => [(windowMs * 1000) / buckets, windowMs * 1000],
    bound: ({ limit, windowMs }, us) => limit * windowsIn(windowMs, us),
    make: (params, maxKeys) => subjectOf(slidingWindow({ ...params, oldest: 'weighted', maxKeys })),
    model: ({ limit, windowMs, buckets }) =>
      bucketsModel(BigInt(limit), BigInt(windowMs * 1000), BigInt(buckets), true),
  })
})

describe('warmUp', () => {
  itConforms<{ rate: number; burst: number; warmUpMs: number; coldFactor: number }>({
    params: fc.record({
      rate: fc.constantFrom(1, 2, 10, 100, 1000),
      burst: bursts,
      warmUpMs: fc.constantFrom(1, 100, 10_000),
      coldFactor: fc.constantFrom(1, 2, 3, 10),
    }),
    limit: ({ burst }) => burst,
    edges: ({ rate, burst, warmUpMs }) => [1e6 / rate, (burst * 1e6) / rate, warmUpMs * 1000],
    bound: ({ rate, burst }, us) => burst + (rate * us) / 1e6,
    // What was paid cold is given back at the price of warm.
    restores: false,
    make: ({ rate, ...params }, maxKeys) => subjectOf(warmUp({ ratePerSecond: rate, ...params, maxKeys })),
    model: ({ rate, burst, warmUpMs, coldFactor }) =>
      warmUpModel(BigInt(1e6 / rate), BigInt(burst), BigInt(warmUpMs * 1000), BigInt(coldFactor)),
  })
})
