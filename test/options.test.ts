/** Every factory checks its options when it is called, and says by name what it wanted and what it got. */
import { chain, createContext, type Mechanism } from 'spillway'
import { breaker, circuit, keyed, throttle } from 'spillway/breaker'
import { assemble, fallback, memoryStore, singleflight, stale, switches } from 'spillway/degrade'
import { redisStore, redisSwitches } from 'spillway/degrade/redis'
import { protect } from 'spillway/express'
import { fault } from 'spillway/fault'
import { protectFetch } from 'spillway/fetch'
import { clientInterceptor, serve, serverInterceptor } from 'spillway/grpc'
import { protectHandler } from 'spillway/http'
import { bulkhead, bySpeed, hotKeys, lanes, workers } from 'spillway/isolation'
import * as ratelimit from 'spillway/ratelimit'
import { redisLimiter } from 'spillway/ratelimit/redis'
import { backoff, hedge, retry, retryBudget } from 'spillway/retry'
import { adaptive, aimd, bbr, codel, fixed, gradient, shed, vegas } from 'spillway/shedding'
import { manualClock, simulatedBackend } from 'spillway/testing'
import { attemptDeadline, deadline, quotas } from 'spillway/timeout'
import { describe, expect, it } from 'vitest'

const key = () => 'key'
const clock = manualClock()
const client = { evalsha: async () => [], eval: async () => [] }
const limiter = ratelimit.tokenBucket({ ratePerSecond: 1, burst: 1 })
const module = new URL('data:text/javascript,export default () => 1')
const rate = { ratePerSecond: 10, burst: 5 }
const window = { limit: 10, windowMs: 1_000 }

type Options = Readonly<Record<string, unknown>>

const places = { limit: 1, queue: 1, maxWaitMs: 5, lifoAfterMs: 5 }

/** A factory, and options that are right. Every number in them, however deep, is then made wrong. */
const factories: Readonly<Record<string, readonly [make: (options: any) => unknown, good: Options]>> = {
  deadline: [deadline, { totalMs: 5, reserveMs: 1, minUsefulMs: 1 }],
  attemptDeadline: [attemptDeadline, { attemptMs: 5, reserveMs: 1, minUsefulMs: 1 }],
  quotas: [options => quotas({ redis: 5 }, options), { reserveMs: 1, minUsefulMs: 1 }],
  createContext: [createContext, { timeoutMs: 5 }],
  tokenBucket: [ratelimit.tokenBucket, rate],
  leakyBucket: [ratelimit.leakyBucket, { leakPerSecond: 10, capacity: 5 }],
  gcra: [ratelimit.gcra, { limit: 10, periodMs: 1_000, burst: 5 }],
  fixedWindow: [ratelimit.fixedWindow, window],
  slidingWindow: [ratelimit.slidingWindow, window],
  slidingLog: [ratelimit.slidingLog, window],
  pacer: [ratelimit.pacer, { ratePerSecond: 5 }],
  concurrency: [ratelimit.concurrency, { limit: 5 }],
  rateLimit: [options => ratelimit.rateLimit(limiter, options), {}],
  throttle: [
    throttle,
    {
      ...{ k: 2, windowMs: 10_000, buckets: 10, reactMs: 500, minRequests: 5, rejectWeight: 0.5 },
      ...{ maxRejection: 0.9, probesPerSecond: 2, unansweredMs: 100 },
    },
  ],
  circuit: [
    circuit,
    {
      ...{
        failureRatio: 0.5,
        slowMs: 50,
        slowRatio: 0.5,
        minimum: 5,
        consecutiveFailures: 5,
        windowMs: 5_000,
      },
      ...{ buckets: 5, openMs: 500, openFactor: 2, maxOpenMs: 5_000, jitterRatio: 0.1, probes: 2 },
      ...{ successesToClose: 2, probeFailures: 1, probeTimeoutMs: 500, clock },
    },
  ],
  keyed: [options => keyed(() => circuit({ clock }), options), { max: 5, idleMs: 500 }],
  breaker: [options => breaker(circuit(), options), {}],
  bulkhead: [bulkhead, { limit: 5, queue: 5, maxWaitMs: 5, lifoAfterMs: 5 }],
  lanes: [lanes, { lanes: { a: places, b: places }, classify: () => 'a' }],
  'lanes with hot ones': [
    lanes,
    {
      lanes: { a: { limit: 1 } },
      classify: () => 'a',
      hot: { keys: hotKeys(), key, maxLanes: 5, ...places },
    },
  ],
  hotKeys: [hotKeys, { capacity: 5, hotShare: 0.5, minPerSecond: 5, halfLifeMs: 500 }],
  bySpeed: [bySpeed, { key, slowMs: 5, fastMs: 2, maxKeys: 5 }],
  workers: [workers, { module, size: 1, queue: 1, maxWaitMs: 5, graceMs: 5 }],
  fallback: [fallback, { default: 'none', limit: 5, timeoutMs: 5, maxStaleMs: 5, refreshMs: 5 }],
  stale: [
    stale,
    {
      ...{ key, freshMs: 5, staleMs: 5, ifErrorMs: 5, absentMs: 5, jitterRatio: 0.5, refreshMs: 5 },
      ...{ maxRefreshes: 5, storeTimeoutMs: 5, storePauseMs: 5, forgetTimeoutMs: 5 },
    },
  ],
  singleflight: [singleflight, { key, maxAgeMs: 5, maxFlights: 5 }],
  memoryStore: [memoryStore, { maxEntries: 5 }],
  switches: [
    options => switches({ a: options }),
    {
      levels: 2,
      rampMs: 5,
      default: { level: 1, percent: 50 },
      automatic: { load: () => 1, enterAt: 2, exitAt: 1, dwellMs: 5, sampleMs: 5, percent: 50 },
    },
  ],
  assemble: [
    assemble,
    {
      required: { a: { handler: async () => 1, timeoutMs: 5 } },
      optional: { b: { handler: async () => 1, timeoutMs: 5 } },
      ...{ reserveMs: 5, fallbackMs: 5 },
    },
  ],
  redisStore: [redisStore, { client, maxLength: 5, rememberMs: 5 }],
  redisSwitches: [redisSwitches, { client, switches: switches({ a: {} }), pollMs: 50, timeoutMs: 50 }],
  fault: [
    fault,
    {
      seed: 1,
      rules: [
        { percent: 50, bytesPerSecond: 5 },
        { percent: 50, latencyMs: { minMs: 5, maxMs: 50 } },
      ],
    },
  ],
  retry: [retry, { attempts: 2, minUsefulMs: 5, maxHintMs: 5 }],
  'retry as p-retry': [
    retry,
    { retries: 2, minTimeout: 5, maxTimeout: 50, factor: 2, maxRetryTime: 500, random: Math.random },
  ],
  hedge: [
    hedge,
    { delayMs: 5, attempts: 2, quantile: 0.9, minSamples: 5, periodMs: 50, minUsefulMs: 5, maxHintMs: 5 },
  ],
  retryBudget: [retryBudget, { ratio: 0.1, minPerSecond: 5, ttlMs: 500 }],
  'retryBudget in tokens': [retryBudget, { maxTokens: 5, tokenRatio: 0.1 }],
  'backoff.exponential': [backoff.exponential, { baseMs: 5, maxMs: 50, factor: 2 }],
  shed: [options => shed(fixed({ limit: 1 }), options), {}],
  adaptive: [adaptive, { burstWaitMs: 100, standingWaitMs: 5, minLimit: 1 }],
  aimd: [aimd, { minLimit: 1, maxLimit: 50, backoffRatio: 0.9 }],
  bbr: [bbr, { windowMs: 10_000, buckets: 100, coolDownMs: 500 }],
  codel: [codel, { targetMs: 5, intervalMs: 100 }],
  fixed: [fixed, { limit: 5 }],
  gradient: [gradient, { minLimit: 1, maxLimit: 50, toleranceRatio: 1.5 }],
  vegas: [vegas, { minLimit: 1, maxLimit: 50 }],
  redisLimiter: [
    redisLimiter,
    { client, name: 'per-tenant', limits: { limit: 10, periodMs: 1_000 }, nodes: 2, timeoutMs: 50 },
  ],
  protect: [options => protect(chain(), options), { timeoutMs: 5 }],
  protectHandler: [options => protectHandler(chain(), () => {}, options), { timeoutMs: 5 }],
  protectFetch: [options => protectFetch(chain(), options), {}],
  serve: [options => serve({}, options), { timeoutMs: 5 }],
  serverInterceptor: [serverInterceptor, { timeoutMs: 5 }],
  clientInterceptor: [clientInterceptor, {}],
  manualClock: [manualClock, { startMs: 5 }],
  simulatedBackend: [simulatedBackend, { script: [{}], slots: 5 }],
}

/** Made for each call, so what they do not know costs nothing to find. */
const takesAnything = new Set(['createContext', 'manualClock'])

/** The options that there are, as the error says that is thrown for one that there is not. */
function optionsOf(act: () => unknown): readonly string[] {
  try {
    act()
  } catch (error) {
    const [, list = ''] = String(error).split('; it has ')
    return [...list.matchAll(/`(\w+)`/g)].map(([, option]) => option!)
  }
  return []
}

/** The ways to all numbers in `options`, through objects and lists that are written out; a clock has numbers of its own. */
function numbersIn(options: Options, way: readonly string[] = []): readonly (readonly string[])[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const on = [...way, name]
    if (typeof value === 'number') return [on]
    return name !== 'clock' && isWrittenOut(value) ? numbersIn(value, on) : []
  })
}

function isWrittenOut(value: unknown): value is Options {
  if (typeof value !== 'object' || value === null) return false
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
}

/** The same options, but for what stands at the end of `way`. */
function changed(options: Options, [name, ...rest]: readonly string[], value: unknown): Options {
  const copy: any = Array.isArray(options) ? [...options] : { ...options }
  copy[name!] = rest.length === 0 ? value : changed(copy[name!], rest, value)
  return copy
}

const bad = [Number.NaN, Number.NEGATIVE_INFINITY, '5', {}, [5], true, () => 5]

describe.each(Object.entries(factories).map(([name, [make, good]]) => ({ name, make, good })))(
  '$name',
  ({ name, make, good }) => {
    it('takes options that are right', () => {
      expect(() => make(good)).not.toThrow()
    })

    it.each(takesAnything.has(name) ? [] : ['knows its options, and says which it has'])('%s', () => {
      expect(() => make({ ...good, nonsense: 1 })).toThrow(/ has no option `nonsense`; it has `\w+`/)
      expect(() => make(5)).toThrow(/^Expected /)
    })

    it.each(takesAnything.has(name) ? [] : ['takes an option that is undefined for one that was left out'])(
      '%s',
      () => {
        for (const option of optionsOf(() => make({ ...good, nonsense: 1 }))) {
          if (!(option in good)) expect(() => make({ ...good, [option]: undefined })).not.toThrow()
        }
        const { update, snapshot } = make(good) as Partial<Mechanism>
        if (update === undefined || snapshot === undefined) return
        const made = make(good) as Mechanism
        const changeable = optionsOf(() => made.update({ nonsense: 1 }))
        const before = made.snapshot()
        made.update(Object.fromEntries(changeable.map(option => [option, undefined])))
        expect(made.snapshot()).toEqual(before)
      },
    )

    const numbers = numbersIn(good).map(way => [way.join('.'), way] as const)
    it.each(numbers)('says what it expected `%s` to be, and what it got', (_option, way) => {
      // The message says at least where the number stands; `rules.0.percent` is `rules[0].percent` there.
      const parent = way.at(-2)?.replace(/^\d+$/, '\\[$&\\]')
      const before = parent === undefined ? '([a-z]+\\.)?' : `[\\w.[\\]]*${parent}\\.`
      const message = new RegExp(`^Expected \`${before}${way.at(-1)}\` to be a (whole )?number.*, got `)
      for (const value of bad) expect(() => make(changed(good, way, value))).toThrow(message)
    })
  },
)
