import {
  ConsecutiveBreaker,
  circuitBreaker,
  handleAll,
  retry,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel'
import CircuitBreaker from 'opossum'
import pRetry from 'p-retry'
import { chain, type Gate, gate, Rejection, rootContext } from 'spillway'
import { attemptDeadline, deadline } from 'spillway/timeout'

/** Makes one call. What it is called with is the number of the call. */
type Call = (n: number) => Promise<unknown>

const handler = async (n: number): Promise<number> => n
const caught = (): undefined => undefined

/** A gate that counts and measures, as `observe` would. */
function meter(): Gate<unknown, number> {
  const seen = { calls: 0, totalMs: 0 }
  return {
    kind: 'observe',
    name: 'meter',
    admit: (_request, _context, now) => now,
    settle(startedAt, _outcome, now) {
      seen.calls++
      seen.totalMs += now - startedAt
    },
  }
}

/** A gate that lets at most `limit` calls in at a time. */
function slots(limit: number): Gate<unknown, undefined> {
  let active = 0
  return {
    kind: 'bulkhead',
    name: 'slots',
    admit() {
      if (active >= limit)
        return new Rejection({ reason: 'bulkhead-full', policy: 'slots', retry: 'elsewhere' })
      active++
      return undefined
    },
    settle() {
      active--
    },
  }
}

const five = () =>
  [gate(meter()), gate(slots(1000)), gate(meter()), gate(slots(1000)), gate(meter())] as const

const shut = gate({
  kind: 'breaker',
  name: 'shut',
  admit: () =>
    new Rejection({ reason: 'breaker-open', policy: 'shut', retry: 'elsewhere', retryAfterMs: 1000 }),
})

async function openOpossum(): Promise<Call> {
  const breaker = new CircuitBreaker(handler)
  breaker.open()
  return n => breaker.fire(n).catch(caught)
}

/** Each case as it is called in the table. Every one is measured in a process of its own. */
export const cases: Readonly<Record<string, () => Call | Promise<Call>>> = {
  'bare handler': () => handler,
  'one gate': () => {
    const call = gate(meter())(handler)
    return n => call(n, rootContext)
  },
  'five gates, fused': () => {
    const call = chain(...five())(handler)
    return n => call(n, rootContext)
  },
  'five gates, layered': () => {
    const [a, b, c, d, e] = five()
    const call = a(b(c(d(e(handler)))))
    return n => call(n, rootContext)
  },
  deadline: () => {
    const call = deadline({ totalMs: 1000 })(handler)
    return n => call(n, rootContext)
  },
  'deadline, signal read': () => {
    const call = deadline({ totalMs: 1000 })(async (n: number, context) => (context.signal.aborted ? 0 : n))
    return n => call(n, rootContext)
  },
  'deadline and attempt deadline': () => {
    const call = chain(deadline({ totalMs: 1000 }), attemptDeadline({ attemptMs: 300 }))(handler)
    return n => call(n, rootContext)
  },
  refused: () => {
    const call = shut(handler)
    return n => call(n, rootContext).catch(caught)
  },
  'cockatiel timeout, cooperative': () => {
    const policy = timeout(1000, TimeoutStrategy.Cooperative)
    return n => policy.execute(() => handler(n))
  },
  'cockatiel timeout, aggressive': () => {
    const policy = timeout(1000, TimeoutStrategy.Aggressive)
    return n => policy.execute(() => handler(n))
  },
  'cockatiel retry + breaker': () => {
    const policy = wrap(
      retry(handleAll, { maxAttempts: 3 }),
      circuitBreaker(handleAll, { halfOpenAfter: 1000, breaker: new ConsecutiveBreaker(5) }),
    )
    return n => policy.execute(() => handler(n))
  },
  'opossum fire': () => {
    const breaker = new CircuitBreaker(handler)
    return n => breaker.fire(n)
  },
  'opossum open': openOpossum,
  'p-retry': () => n => pRetry(() => handler(n)),
}
