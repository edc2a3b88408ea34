import {
  ConsecutiveBreaker,
  circuitBreaker,
  handleAll,
  retry as retryPolicy,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel'
import CircuitBreaker from 'opossum'
import pRetry from 'p-retry'
import { chain, type Gate, gate, Rejection, rootContext } from 'spillway'
import { breaker, circuit, throttle } from 'spillway/breaker'
import { bulkhead } from 'spillway/isolation'
import { retry } from 'spillway/retry'
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

/** Everything that a careful client has around a call, in the order of docs/core.md. */
function stack(opened = circuit()): ReturnType<typeof chain> {
  return chain(
    gate(meter()),
    deadline({ totalMs: 1000 }),
    retry(),
    breaker(throttle()),
    breaker(opened),
    bulkhead({ limit: 1000 }),
  )
}

/** A call that a stack refuses because its circuit is open. */
function openStack(): Call {
  const opened = circuit()
  opened.forceOpen()
  const call = stack(opened)(handler)
  return n => call(n, rootContext).catch(caught)
}

const failing = async (): Promise<never> => {
  throw new Error('down')
}

/** A failing call through a circuit whose window holds `samples` calls already. */
function failingWith(samples: number): Call {
  const mechanism = circuit({ minimum: 1_000_000_000, windowMs: 60_000 })
  const now = rootContext.clock.now()
  for (let i = 0; i < samples; i++) {
    const pass = mechanism.admit(now)
    if ('settle' in pass) pass.settle('success', now)
  }
  const call = breaker(mechanism)(failing)
  return n => call(n, rootContext).catch(caught)
}

const five = () =>
  [gate(meter()), gate(slots(1000)), gate(meter()), gate(slots(1000)), gate(meter())] as const

const shut = gate({
  kind: 'breaker',
  name: 'shut',
  admit: () =>
    new Rejection({ reason: 'breaker-open', policy: 'shut', retry: 'elsewhere', retryAfterMs: 1000 }),
})

async function openCockatiel(): Promise<Call> {
  const policy = circuitBreaker(handleAll, { halfOpenAfter: 1e9, breaker: new ConsecutiveBreaker(1) })
  await policy.execute(failing).catch(caught)
  return n => policy.execute(() => handler(n)).catch(caught)
}

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
  'client stack of six': () => {
    const call = stack()(handler)
    return n => call(n, rootContext)
  },
  'client stack, circuit open': openStack,
  'circuit, failing, 100 in the window': () => failingWith(100),
  'circuit, failing, 100,000 in the window': () => failingWith(100_000),
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
      retryPolicy(handleAll, { maxAttempts: 3 }),
      circuitBreaker(handleAll, { halfOpenAfter: 1000, breaker: new ConsecutiveBreaker(5) }),
    )
    return n => policy.execute(() => handler(n))
  },
  'cockatiel retry + breaker + timeout': () => {
    const policy = wrap(
      retryPolicy(handleAll, { maxAttempts: 3 }),
      circuitBreaker(handleAll, { halfOpenAfter: 1000, breaker: new ConsecutiveBreaker(5) }),
      timeout(1000, TimeoutStrategy.Cooperative),
    )
    return n => policy.execute(() => handler(n))
  },
  'cockatiel open': openCockatiel,
  'opossum fire': () => {
    const breaker = new CircuitBreaker(handler)
    return n => breaker.fire(n)
  },
  'opossum open': openOpossum,
  'p-retry': () => n => pRetry(() => handler(n)),
}
