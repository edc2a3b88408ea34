/**
 * Makes a great many calls of every kind through every layer of isolation and degradation, and prints what is left
 * of them. `node --expose-gc --import tsx test/scenarios/leaks-child.ts 1000000` for a million.
 */
import { getEventListeners } from 'node:events'
import { type Context, chain, createContext, openContext, systemClock } from 'spillway'
import { assemble, fallback, memoryStore, singleflight, stale, switches } from 'spillway/degrade'
import { fault } from 'spillway/fault'
import { bulkhead, bySpeed, hotKeys, lanes } from 'spillway/isolation'
import { attemptDeadline, deadline } from 'spillway/timeout'

interface Request {
  readonly id: string
  readonly mood: number
}

const total = Number(process.argv[2] ?? 100_000)
const BATCH = 2_000

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
/** Until the call ends, as one that waits for its socket would. */
const untilEnded = ({ signal }: Context) =>
  new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })

let inside = 0
async function backend({ mood }: Request, context: Context): Promise<string> {
  inside++
  try {
    if (mood % 3 === 0) await turn()
    if (mood % 7 === 0) throw new Error('failed')
    if (mood % 11 === 0) return await untilEnded(context)
    return 'done'
  } finally {
    inside--
  }
}

const features = switches({ it: { rampMs: 50 } })
const speed = bySpeed({ key: ({ mood }: Request) => String(mood % 5), slowMs: 1 })
const store = memoryStore({ maxEntries: 100 })
const key = ({ id }: Request) => id
const policies = {
  fallback: fallback<Request, string>({
    store,
    key,
    default: 'default',
    limit: 1_000,
    off: (_, context) => !features.isOn('it', context),
    refreshMs: 2,
  }),
  stale: stale<Request, string>({
    key,
    freshMs: 1,
    staleMs: 1,
    ifErrorMs: 5,
    store: memoryStore({ maxEntries: 100 }),
    refreshMs: 2,
  }),
  singleflight: singleflight<Request, string>({
    key: request => (request.mood % 2 === 0 ? request.id : undefined),
  }),
  bulkhead: bulkhead({ limit: 160, queue: 800, maxWaitMs: 20 }),
  lanes: lanes({
    lanes: { fast: { limit: 120, queue: 400 }, slow: { limit: 40, queue: 200 } },
    classify: speed.classify,
    hot: { keys: hotKeys({ capacity: 16 }), key, limit: 10, queue: 50 },
  }),
  fault: fault<Request>({
    enabled: true,
    seed: 1,
    rules: [
      { percent: 1, latencyMs: 1 },
      { percent: 1, abort: 'later' },
      { percent: 1, hang: true },
    ],
  }),
}
const call = chain<Request, string>(
  policies.fallback,
  policies.stale,
  policies.singleflight,
  deadline({ totalMs: 8, reserveMs: 1 }),
  policies.bulkhead,
  policies.lanes,
  speed.measure,
  policies.fault,
  attemptDeadline({ attemptMs: 4 }),
)(backend)
const page = assemble({
  required: { a: call },
  optional: {
    b: { handler: call, timeoutMs: 3 },
    c: { handler: call, fallback: fallback({ default: 'c' }) },
  },
  reserveMs: 1,
  fallbackMs: 1,
})

const server = new AbortController()
const outcomes: Record<string, number> = {}
const count = (outcome: string) => {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
}

/** One call of the kind that `i` says: plain, with a deadline, aborted, two that race, a page. */
async function once(i: number): Promise<void> {
  const request = { id: `item ${i % 150}`, mood: i }
  const { context, cancel, close } = openContext({
    signal: server.signal,
    timeoutMs: i % 2 === 0 ? 10 : 1_000,
  })
  try {
    if (i % 5 === 0) {
      const answer = call(request, context)
      // It may have failed before anybody waits for it.
      answer.catch(() => undefined)
      if (i % 10 === 0) await turn()
      cancel(new Error('gone'))
      await answer
    } else if (i % 17 === 0) {
      // As a hedge does: the first to answer wins, and the other is cancelled.
      const racers = [openContext({ parent: context }), openContext({ parent: context })]
      const answers = racers.map(racer => call({ ...request, mood: i + 1 }, racer.context))
      await Promise.any(answers).finally(() => {
        for (const racer of racers) racer.cancel()
      })
      await Promise.allSettled(answers)
      for (const racer of racers) racer.close()
    } else if (i % 13 === 0) await page(request, context)
    else if (i % 19 === 0) await call(request, createContext({ timeoutMs: 20 }))
    else await call(request, context)
    count('answered')
  } catch (error) {
    count((error as { reason?: string }).reason ?? 'failed')
  } finally {
    close()
  }
}

/** What the process holds when everything has come to rest. */
async function atRest(): Promise<number> {
  for (let waits = 0; waits < 1_000 && (systemClock.armed > 0 || inside > 0); waits++) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  for (let i = 0; i < 3; i++) {
    await turn()
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => unhandled.push(reason))
const warnings: string[] = []
process.on('warning', warning => warnings.push(warning.message))

let settledHeap = 0
for (let made = 0; made < total; made += BATCH) {
  if (made % 20_000 === 0) features.set('it', { level: 1, percent: 5, ttlMs: 100 })
  await Promise.all(Array.from({ length: BATCH }, (_, i) => once(made + i)))
  if (made === Math.floor(total / BATCH / 5) * BATCH) settledHeap = await atRest()
}
const heap = await atRest()

/** Reading a switch makes no garbage. The clock stands still, because reading the real one makes some. */
function readings(): number {
  const clock = { now: () => 1, arm() {}, disarm() {} }
  const features = switches({ it: {} }, { clock })
  features.set('it', { level: 1, percent: 50 })
  const context = createContext({ caller: 'reader' })
  for (let i = 0; i < 100_000; i++) features.level('it', context)
  globalThis.gc!()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 300_000; i++) features.level('it', context)
  return process.memoryUsage().heapUsed - before
}

const {
  bulkhead: places,
  lanes: lane,
  singleflight: flights,
  fallback: standIns,
  stale: cache,
  fault: chaos,
} = policies
const lanesLeft = Object.values({ ...lane.snapshot().lanes, ...lane.snapshot().hot })
console.log(
  JSON.stringify({
    outcomes,
    left: {
      inside,
      places: places.snapshot().active + places.snapshot().waiting,
      lanes: lanesLeft.reduce((sum, { active, waiting }) => sum + active + waiting, 0),
      flights: flights.snapshot().flights + flights.snapshot().waiting,
      defaults: standIns.snapshot().active,
      refreshing: standIns.snapshot().refreshing + cache.snapshot().refreshing,
      hanging: chaos.snapshot().hanging,
      timers: systemClock.armed,
      listeners: getEventListeners(server.signal, 'abort').length,
    },
    unhandled: unhandled.map(String),
    warnings,
    heapGrowthBytes: heap - settledHeap,
    bytesForReadingSwitches: readings(),
  }),
)
