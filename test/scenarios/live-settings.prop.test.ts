/** Settings that change, and are changed back, in the middle of calls: nothing is counted below zero or lost. */
import fc from 'fast-check'
import { type Context, chain, type Middleware, openContext } from 'spillway'
import { breaker, circuit, keyed, throttle } from 'spillway/breaker'
import { assemble, fallback, memoryStore, singleflight, stale, switches } from 'spillway/degrade'
import { fault } from 'spillway/fault'
import { bulkhead, hotKeys, lanes } from 'spillway/isolation'
import { hedge, retry, retryBudget } from 'spillway/retry'
import { manualClock } from 'spillway/testing'
import { expect, test } from 'vitest'

const count = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })
const places = fc.record(
  {
    limit: fc.nat({ max: 4 }),
    queue: fc.nat({ max: 4 }),
    maxWaitMs: count(40),
    lifoAfterMs: fc.constantFrom(0, 10),
  },
  { requiredKeys: [] },
)

/** What may be changed, and to what. */
const changes = {
  places,
  lanes: fc.record({ lanes: fc.record({ a: places, b: places }, { requiredKeys: [] }), hot: places }),
  hot: fc.record({ hotShare: fc.constantFrom(0.01, 0.5), halfLifeMs: count(100) }),
  circuit: fc.record({
    minimum: count(5),
    windowMs: fc.constantFrom(50, 400),
    buckets: fc.constantFrom(1, 5),
    openMs: count(30),
    probes: count(2),
  }),
  throttle: fc.record({
    windowMs: fc.constantFrom(50, 400),
    minRequests: fc.nat({ max: 5 }),
    k: fc.constantFrom(1, 2),
  }),
  endpoints: fc.record({ max: count(3), idleMs: count(50) }),
  budget: fc.record({ ratio: fc.constantFrom(0, 0.5), minPerSecond: fc.nat({ max: 50 }), ttlMs: count(500) }),
  tokens: fc.record({ maxTokens: count(5), tokenRatio: fc.constantFrom(0.1, 1) }),
  standIn: fc.record({
    limit: fc.nat({ max: 2 }),
    timeoutMs: count(10),
    maxStaleMs: fc.nat({ max: 50 }),
    refreshMs: fc.nat({ max: 20 }),
  }),
  cache: fc.record({
    freshMs: fc.nat({ max: 20 }),
    staleMs: fc.nat({ max: 20 }),
    ifErrorMs: fc.nat({ max: 50 }),
  }),
  store: fc.record({ maxEntries: count(3) }),
  flights: fc.record({ maxAgeMs: fc.nat({ max: 20 }), maxFlights: fc.nat({ max: 2 }) }),
  features: fc.record({
    it: fc.record({
      levels: count(3),
      rampMs: fc.nat({ max: 50 }),
      default: fc.constantFrom({ level: 0 }, { level: 1 }),
    }),
  }),
  page: fc.record({ reserveMs: fc.nat({ max: 10 }), fallbackMs: fc.nat({ max: 10 }) }),
  faults: fc.record({
    enabled: fc.boolean(),
    rules: fc.constantFrom(
      [],
      [{ percent: 50, hang: true }],
      [{ percent: 50, latencyMs: 5 }],
      [{ percent: 50, abort: 'elsewhere' as const }],
    ),
  }),
} satisfies Readonly<Record<string, fc.Arbitrary<object>>>

type Name = keyof typeof changes
const names = Object.keys(changes) as Name[]

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      n: fc.nat({ max: 11 }),
      worksMs: fc.nat({ max: 30 }),
      how: fc.constantFrom('answers', 'answers', 'fails', 'is to blame', 'throws'),
      timeoutMs: fc.constantFrom(undefined, 5, 25, 60),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), which: fc.nat({ max: 20 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 12 }) }) },
  {
    weight: 3,
    arbitrary: fc.oneof(
      ...names.map(name =>
        fc.record({
          do: fc.constant('update' as const),
          name: fc.constant(name),
          to: changes[name] as fc.Arbitrary<object>,
        }),
      ),
    ),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), name: fc.constantFrom(...names) }) },
)

/** Every number of a snapshot that is below zero, by its path. */
function below(value: unknown, path: string): string[] {
  if (typeof value === 'number') return value < 0 || Number.isNaN(value) ? [`${path}: ${value}`] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => below(inner, `${path}.${key}`))
}

interface Ask {
  readonly n: number
  readonly worksMs: number
  readonly how: string
}

test('whatever is changed while calls are out, no counter falls below zero, and all are back at zero in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), fc.integer(), async (steps, seed) => {
      const clock = manualClock({ startMs: 0 })
      let state = seed
      const random = (): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
        return (state >>> 0) / 2 ** 32
      }
      const pause = (ms: number): Promise<void> =>
        new Promise(ring => {
          const alarm = { at: 0, keepAlive: false, next: undefined, previous: undefined, ring }
          clock.arm(alarm, clock.now() + ms)
        })
      const key = ({ n }: Ask): string => `key ${n % 3}`
      const hot = hotKeys({ minPerSecond: 0 })
      const store = memoryStore({ maxEntries: 2 })
      const endpoints = keyed(() => circuit({ clock, random, minimum: 2, openMs: 10 }), { max: 2 })
      const features = switches({ it: { levels: 3 } }, { clock, random })
      const budget = retryBudget({ ratio: 0.5, minPerSecond: 10 })
      const tokens = retryBudget({ maxTokens: 5, tokenRatio: 0.5 })
      const made = {
        places: bulkhead({ limit: 2, queue: 2, maxWaitMs: 20 }),
        lanes: lanes({
          lanes: { a: { limit: 1, queue: 1, maxWaitMs: 20 }, b: { limit: 2 } },
          classify: ({ n }: Ask) => (n % 2 === 0 ? 'a' : 'b'),
          hot: { keys: hot, key, limit: 1, queue: 1, maxWaitMs: 20, maxLanes: 1 },
        }),
        hot,
        circuit: circuit({ clock, random, minimum: 3, openMs: 10 }),
        throttle: throttle({ clock, random, minRequests: 3 }),
        endpoints,
        budget,
        tokens,
        standIn: fallback<Ask, number>({
          store,
          key,
          default: () => pause(3).then(() => -1),
          limit: 1,
          refreshMs: 10,
          when: () => true,
        }),
        cache: stale<Ask, number>({ store, key, freshMs: 5, staleMs: 5, ifErrorMs: 10, random }),
        store,
        flights: singleflight<Ask, number>({ key }),
        features,
        page: assemble({ optional: { one: async (_: Ask) => 1 } }),
        faults: fault<Ask>({ random, rules: [] }),
      }
      const handler = async ({ n, worksMs, how }: Ask, context: Context): Promise<number> => {
        if (how === 'throws') throw new TypeError('a mistake')
        await pause(worksMs)
        if (how === 'fails') throw Object.assign(new Error('down'), { status: 503 })
        if (how === 'is to blame') throw Object.assign(new Error('not found'), { status: 404 })
        return n + context.attempt
      }
      const off: Middleware<Ask, number> = next => (ask, context) =>
        features.isOn('it', context, key(ask)) ? next(ask, context) : Promise.resolve(0 as never)
      const { places, cache, standIn, flights, faults } = made
      const calls = [
        chain<Ask, number>(
          standIn,
          retry({ idempotent: true, budget, random }),
          breaker(made.circuit),
          places,
          faults,
        )(handler),
        chain<Ask, number>(
          cache,
          hedge({ idempotent: true, budget, delayMs: 5 }),
          breaker(made.throttle),
          made.lanes,
        )(handler),
        chain<Ask, number>(
          off,
          flights,
          retry({ idempotent: true, budget: tokens, random }),
          breaker(endpoints, { key }),
          made.lanes,
        )(handler),
        chain<Ask, number>(flights, places, made.lanes, faults)(handler),
        async (ask: Ask, context: Context) => (await made.page(ask, context)).missing.length,
      ]

      const opened: { readonly cancel: (reason?: unknown) => void }[] = []
      let answered = 0
      const check = (): void => {
        for (const name of names) expect(below(made[name].snapshot(), name)).toEqual([])
      }
      for (const next of steps) {
        if (next.do === 'wait') await clock.advance(next.ms)
        else if (next.do === 'update') (made[next.name] as { update(to: object): void }).update(next.to)
        else if (next.do === 'reset') made[next.name].reset()
        else if (next.do === 'abort') opened[next.which % opened.length]?.cancel('gone')
        else {
          const { n, worksMs, how, timeoutMs } = next
          const open = openContext({ clock, timeoutMs, caller: `caller ${n}` })
          opened.push(open)
          const over = (): void => {
            answered++
            open.close()
          }
          calls[n % calls.length]!({ n, worksMs, how }, open.context).then(over, over)
        }
        await clock.flush()
        check()
      }
      made.faults.update({ enabled: false })
      made.places.update({ limit: 4 })
      made.lanes.update({ lanes: { a: { limit: 4 }, b: { limit: 4 } }, hot: { limit: 4 } })
      // The time of every call, of every background call and of every probe.
      for (let i = 0; i < 60; i++) await clock.advance(250)
      check()
      expect(answered).toBe(opened.length)
      expect(places.snapshot()).toMatchObject({ active: 0, waiting: 0 })
      for (const lane of Object.values({ ...made.lanes.snapshot().lanes, ...made.lanes.snapshot().hot })) {
        expect(lane).toMatchObject({ active: 0, waiting: 0 })
      }
      expect(flights.snapshot()).toMatchObject({ flights: 0, waiting: 0 })
      expect(standIn.snapshot()).toMatchObject({ active: 0, refreshing: 0 })
      expect(cache.snapshot()).toMatchObject({ refreshing: 0 })
      expect(faults.snapshot()).toMatchObject({ hanging: 0 })
      expect(made.circuit.snapshot().probes.inFlight).toBe(0)
      expect(clock.armed).toBe(0)
    }),
    { numRuns: 150 },
  )
})
