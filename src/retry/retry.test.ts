import pRetry, { AbortError } from 'p-retry'
import { describe, expect, test } from 'vitest'
import { adviceOf, advise, isFinal } from '../core/advice.ts'
import { currentContext, withContext } from '../core/ambient.ts'
import { chain, gate } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { Rejection } from '../core/rejection.ts'
import { answeredEarly } from '../core/work.ts'
import { sleep } from '../internal/timer.ts'
import { noteEndpoint, triedEndpoints } from '../internal/tried.ts'
import { manualClock } from '../testing/index.ts'
import { backoff } from './backoff.ts'
import { retryBudget } from './budget.ts'
import { attemptsOf, stop } from './give-up.ts'
import { retry } from './retry.ts'
import { gaveUp, retried } from './retry-event.ts'
import type { RetryOptions } from './retry-options.ts'

const unavailable = (): Error => Object.assign(new Error('unavailable'), { status: 503 })
const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })

/** A handler that fails as the script says, attempt by attempt, and then succeeds. */
function script(...failures: (unknown | (() => unknown))[]) {
  const contexts: Context[] = []
  const times: number[] = []
  const errors: unknown[] = []
  const handler: Handler<unknown, string> = (_request, context) => {
    const failure = failures[contexts.length]
    contexts.push(context)
    times.push(context.clock.now() - 1_000_000)
    if (failure === undefined) return Promise.resolve('ok')
    const error = typeof failure === 'function' ? failure() : failure
    errors.push(error)
    return Promise.reject(error)
  }
  return { handler, contexts, times, errors }
}

function made(options: RetryOptions = {}, timeoutMs = Infinity) {
  const clock = manualClock()
  const open = openContext({ clock, timeoutMs, idempotent: true })
  const random = () => 1
  return { clock, ...open, protect: retry({ random, ...options }) }
}

/** The answer of a call, with time moved on as far as it needs. */
async function outcome(clock: ReturnType<typeof manualClock>, call: Promise<unknown>): Promise<unknown> {
  let result: { value: unknown } | undefined
  call.then(
    value => {
      result = { value }
    },
    error => {
      result = { value: error }
    },
  )
  await clock.flush()
  for (let i = 0; i < 100 && result === undefined; i++) await clock.advance(1_000)
  return result?.value
}

test('a call that succeeds is left alone', async () => {
  const { clock, context, protect } = made()
  const { handler, contexts } = script()
  expect(await outcome(clock, protect(handler)('x', context))).toBe('ok')
  expect(contexts).toEqual([context])
})

test('tries again after a wait that doubles, and says which try it is', async () => {
  const { clock, context, protect } = made({ attempts: 4 })
  const { handler, contexts, times } = script(unavailable, unavailable, unavailable)
  expect(await outcome(clock, protect(handler)('x', context))).toBe('ok')
  expect(contexts.map(context => context.attempt)).toEqual([1, 2, 3, 4])
  expect(times).toEqual([0, 50, 150, 350])
  expect(clock.armed).toBe(0)
})

test('gives up after three attempts with the last error itself, marked as final', async () => {
  const { clock, context, protect } = made()
  const { handler, errors } = script(unavailable, unavailable, unavailable, unavailable)
  const error = await outcome(clock, protect(handler)('x', context))
  expect(error).toBe(errors[2])
  expect(errors).toHaveLength(3)
  expect(isFinal(error)).toBe(true)
  expect(attemptsOf(error)).toBe(3)
})

test('the waits are full jitter by default: anything from nothing up to the whole', async () => {
  for (const random of [0, 0.25, 1]) {
    const { clock, context, protect } = made({ random: () => random })
    const { handler, times } = script(unavailable, unavailable)
    await outcome(clock, protect(handler)('x', context))
    expect(times).toEqual([0, 50 * random, 150 * random])
  }
})

describe('what is repeated', () => {
  const attempts = async (error: unknown, idempotent: boolean): Promise<number> => {
    const { clock, context, protect } = made({ idempotent })
    const { handler, contexts } = script(error, error)
    await outcome(clock, protect(handler)('x', context))
    return contexts.length
  }
  const both = async (error: unknown) => [await attempts(error, true), await attempts(error, false)]
  const rejection = (retry: 'never' | 'elsewhere' | 'later', begun: boolean): (() => Rejection) => {
    return () => new Rejection({ reason: 'bulkhead-full', policy: 'x', retry, begun })
  }

  test('what never began, whatever the call', async () => {
    expect(await both(refused)).toEqual([3, 3])
    expect(await both(rejection('elsewhere', false))).toEqual([3, 3])
    expect(await both(rejection('later', false))).toEqual([3, 3])
  })

  test('what may have begun only where twice is the same as once', async () => {
    expect(await both(unavailable)).toEqual([3, 1])
    expect(await both(() => Object.assign(new Error(), { code: 'ECONNRESET' }))).toEqual([3, 1])
    expect(await both(rejection('later', true))).toEqual([3, 1])
    expect(await both(() => new Error('boom'))).toEqual([3, 1])
  })

  test('too many requests only where the server says when to come back', async () => {
    const tooMany = (): Error => Object.assign(new Error(), { status: 429 })
    expect(await both(tooMany)).toEqual([1, 1])
    const hinted = (): Error => {
      const error = tooMany()
      advise(error, { retry: 'later', retryAfterMs: 10 })
      return error
    }
    expect(await both(hinted)).toEqual([3, 1])
  })

  test('no more once the rule that says so throws', async () => {
    const broken = new Error('no rule')
    let asked = 0
    const idempotent = (): boolean => {
      if (++asked === 2) throw broken
      return true
    }
    const { clock, context, protect } = made({ idempotent, attempts: 5 })
    const { handler, contexts } = script(unavailable, unavailable, unavailable)
    expect(await outcome(clock, protect(handler)('x', context))).toBe(broken)
    expect(contexts).toHaveLength(2)
  })

  test('not what would come out the same, nor mistakes in the program, nor what is no error', async () => {
    for (const error of [
      Object.assign(new Error(), { status: 404 }),
      Object.assign(new Error(), { status: 500 }),
      Object.assign(new Error(), { code: 13, details: '' }),
      new TypeError('x is not a function'),
      'boom',
      new DOMException('gone', 'AbortError'),
    ]) {
      expect(await both(error)).toEqual([1, 1])
    }
  })

  test('a failed fetch, which is a TypeError with a cause', async () => {
    const failed = (): Error => new TypeError('request failed', { cause: refused() })
    const { clock, context, protect } = made()
    const { handler } = script(failed, failed)
    expect(await outcome(clock, protect(handler)('x', context))).toBe('ok')
  })

  test('the request may say whether it is idempotent', async () => {
    const { clock, context, protect } = made({ idempotent: request => request === 'GET' })
    for (const [request, count] of [
      ['GET', 3],
      ['POST', 1],
    ] as const) {
      const { handler, contexts } = script(unavailable, unavailable)
      await outcome(clock, protect(handler)(request, context))
      expect(contexts).toHaveLength(count)
    }
  })
})

describe('stop', () => {
  test('an error that is marked as final goes straight up', async () => {
    const { clock, context, protect } = made()
    const error = stop(unavailable())
    const { handler, contexts } = script(error)
    expect(await outcome(clock, protect(handler)('x', context))).toBe(error)
    expect(contexts).toHaveLength(1)
  })

  test('three layers of three attempts call the bottom three times, not twenty-seven', async () => {
    const { clock, context, protect } = made()
    const { handler, contexts, errors } = script(...Array(40).fill(unavailable))
    const call = protect(protect(protect(handler)))
    const error = await outcome(clock, call('x', context))
    expect(contexts).toHaveLength(3)
    expect(error).toBe(errors[2])
  })

  test('a refusal that a policy hands out again and again is not written on', async () => {
    const shared = new Rejection({ reason: 'shed', policy: 'x', retry: 'elsewhere' })
    const { clock, context, protect } = made()
    for (let round = 0; round < 2; round++) {
      const { handler, contexts } = script(shared, shared, shared)
      const error = await outcome(clock, protect(handler)('x', context))
      expect(contexts).toHaveLength(3)
      expect(error).toMatchObject({ reason: 'shed', policy: 'x', retry: 'never' })
      expect(attemptsOf(error)).toBe(3)
    }
    expect(isFinal(shared)).toBe(false)
    expect(attemptsOf(shared)).toBeUndefined()
  })

  test('a frozen error is wrapped, because nothing can be written on it', async () => {
    const frozen = Object.freeze(unavailable())
    const { clock, context, protect } = made()
    const { handler } = script(frozen, frozen, frozen)
    const error = await outcome(clock, protect(handler)('x', context))
    expect(error).toMatchObject({ reason: 'retries-exhausted', retry: 'never', cause: frozen })
  })

  test('what nobody wanted to repeat is not marked', async () => {
    const { clock, context, protect } = made()
    const { handler } = script(unavailable, Object.assign(new Error(), { status: 404 }))
    const error = await outcome(clock, protect(handler)('x', context))
    expect(isFinal(error)).toBe(false)
    expect(attemptsOf(error)).toBe(2)
  })
})

describe('the server has the first word on the wait', () => {
  const hinted = (retryAfterMs: number) => (): Error => {
    const error = unavailable()
    advise(error, { retry: 'later', retryAfterMs })
    return error
  }

  test('its wait is taken exactly, and the backoff starts anew after it', async () => {
    const { clock, context, protect } = made({ attempts: 5 })
    const { handler, times } = script(unavailable, unavailable, hinted(700), unavailable)
    await outcome(clock, protect(handler)('x', context))
    expect(times).toEqual([0, 50, 150, 850, 900])
  })

  test('a wait that cannot be read means: do not try again', async () => {
    for (const ms of [Number.NaN, -1]) {
      const { clock, context, protect } = made()
      const { handler, contexts } = script(hinted(ms))
      expect(isFinal(await outcome(clock, protect(handler)('x', context)))).toBe(true)
      expect(contexts).toHaveLength(1)
    }
  })

  test('a wait beyond what the caller would wait ends the call, with the hint for those above', async () => {
    const { clock, context, protect } = made({ maxHintMs: 5_000 })
    const { handler, contexts } = script(hinted(5_001))
    const error = await outcome(clock, protect(handler)('x', context))
    expect(contexts).toHaveLength(1)
    expect(adviceOf(error)).toEqual({ retry: 'never', retryAfterMs: 5_001 })
  })

  test('told to come later without a time, it waits longer than after a lost connection', async () => {
    const { clock, context, protect } = made()
    const later = (): Rejection => new Rejection({ reason: 'shed', policy: 'x', retry: 'later' })
    const { handler, times } = script(later)
    await outcome(clock, protect(handler)('x', context))
    expect(times).toEqual([0, 1_000])
  })
})

describe('before it waits', () => {
  test('a wait that does not fit before the deadline is not begun', async () => {
    const { clock, context, protect } = made({ minUsefulMs: 10 }, 100)
    const { handler, times } = script(unavailable, unavailable)
    const error = await outcome(clock, protect(handler)('x', context))
    // After 50 ms the second attempt; another 100 would end at 150.
    expect(times).toEqual([0, 50])
    expect(isFinal(error)).toBe(true)
    expect(clock.armed).toBe(0)
  })

  test('an empty budget returns the failure at once, not after the wait', async () => {
    const budget = retryBudget({ ratio: 0, minPerSecond: 0 })
    const { clock, context, protect } = made({ budget })
    const { handler, contexts, errors } = script(unavailable)
    const call = protect(handler)('x', context)
    await expect(call).rejects.toBe(errors[0])
    expect(clock.now()).toBe(1_000_000)
    expect(contexts).toHaveLength(1)
    expect(budget.snapshot()).toMatchObject({ calls: 1, withdrawn: 0, refused: 1 })
  })

  test('one budget bounds the further attempts of everything that shares it', async () => {
    const budget = retryBudget({ ratio: 0.5, minPerSecond: 0 })
    const clock = manualClock()
    const context = createContext({ clock, idempotent: true })
    const calls = [retry({ budget }), retry({ budget })]
    let sent = 0
    for (let i = 0; i < 50; i++) {
      const call = calls[i % 2]!(() => {
        sent++
        return Promise.reject(unavailable())
      })
      await outcome(clock, call(undefined, context))
    }
    expect(sent).toBeLessThanOrEqual(75)
    expect(sent).toBeGreaterThan(60)
  })

  test('without a budget every call has all its attempts', async () => {
    const { clock, context, protect } = made({ budget: false })
    let sent = 0
    for (let i = 0; i < 40; i++) {
      await outcome(
        clock,
        protect(() => {
          sent++
          return Promise.reject(unavailable())
        })(undefined, context),
      )
    }
    expect(sent).toBe(120)
  })

  test('the token budget of gRPC hears of successes and failures', async () => {
    const budget = retryBudget({ maxTokens: 10, tokenRatio: 1 })
    const { clock, context, protect } = made({ budget, attempts: 2 })
    await outcome(clock, protect(script(unavailable, unavailable).handler)('x', context))
    expect(budget.snapshot().tokens).toBe(8)
    await outcome(clock, protect(script(unavailable).handler)('x', context))
    expect(budget.snapshot().tokens).toBe(8)
    await outcome(clock, protect(script().handler)('x', context))
    expect(budget.snapshot().tokens).toBe(9)
    // A server that asks for no more attempts counts as a failure too.
    await outcome(clock, protect(script(stop(unavailable())).handler)('x', context))
    expect(budget.snapshot().tokens).toBe(8)
  })
})

describe('a caller that goes away', () => {
  test('ends the wait at once, with what ended the call, and leaves no timer and no listener', async () => {
    const controller = new AbortController()
    const clock = manualClock()
    const open = openContext({ clock, signal: controller.signal, idempotent: true })
    const { handler, contexts } = script(unavailable)
    const call = retry({ backoff: backoff.constant(400) })(handler)('x', open.context)
    await clock.advance(50)
    const reason = new Error('user left')
    controller.abort(reason)
    await expect(call).rejects.toBe(reason)
    expect(clock.now()).toBe(1_000_050)
    expect(clock.armed).toBe(0)
    expect(contexts).toHaveLength(1)
  })

  test('gets no attempt after its deadline, though the process stood still through wait and deadline', async () => {
    const { clock, context, protect } = made({ backoff: backoff.constant(50) }, 100)
    const { handler, contexts } = script(unavailable)
    const call = protect(handler)('x', context).catch((error: unknown) => error)
    await clock.flush()
    clock.jump(200)
    await clock.advance(0)
    expect(await call).toMatchObject({ reason: 'deadline-exceeded', begun: true })
    expect(contexts).toHaveLength(1)
  })

  test('is told so by an error, though nobody has heard the alarm yet', async () => {
    const { clock, context } = made({}, 100)
    clock.jump(200)
    const { signal } = new AbortController()
    const { handler, contexts } = script()
    const call = retry({ signal })(handler)('x', context)
    await expect(call).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    expect(contexts).toHaveLength(0)
  })

  test('gets no further attempt', async () => {
    const { clock, context, cancel, protect } = made()
    const error = unavailable()
    let sent = 0
    const call = protect(() => {
      sent++
      cancel('gone')
      return Promise.reject(error)
    })
    expect(await outcome(clock, call('x', context))).toBe('gone')
    expect(sent).toBe(1)
    expect(isFinal(error)).toBe(false)
  })
})

test('a handler that throws instead of rejecting is retried like one that rejects', async () => {
  const { clock, context, protect } = made()
  let sent = 0
  const call = protect((): Promise<string> => {
    if (++sent < 3) throw unavailable()
    return Promise.resolve('ok')
  })
  expect(await outcome(clock, call('x', context))).toBe('ok')
})

test('code without a context argument sees the number of the attempt too', async () => {
  const { clock, context, protect } = made()
  const seen: (number | undefined)[] = []
  const call = protect(() => {
    seen.push(currentContext()?.attempt)
    return seen.length < 3 ? Promise.reject(unavailable()) : Promise.resolve('ok')
  })
  await outcome(
    clock,
    withContext(context, () => call('x', context)),
  )
  expect(seen).toEqual([1, 2, 3])
})

test('a balancer learns which endpoints have failed this call', async () => {
  const { clock, context, protect } = made()
  const seen: string[][] = []
  const call = protect((_request, context) => {
    seen.push([...(context.get(triedEndpoints) ?? [])])
    const error = unavailable()
    noteEndpoint(error, `endpoint ${seen.length}`)
    return Promise.reject(error)
  })
  await outcome(clock, call('x', context))
  expect(seen).toEqual([[], ['endpoint 1'], ['endpoint 1', 'endpoint 2']])
})

test('tells of each further attempt, and why it gave up', async () => {
  const told: unknown[] = []
  const offs = [
    retried.on(event => told.push(['retried', event.attempt, event.delayMs])),
    gaveUp.on(event => told.push(['gave up', event.attempts, event.cause])),
  ]
  const { clock, context, protect } = made({ name: 'told' })
  await outcome(clock, protect(script(unavailable, unavailable, unavailable).handler)('x', context))
  for (const off of offs) off()
  expect(told).toEqual([
    ['retried', 2, 50],
    ['retried', 3, 100],
    ['gave up', 3, 'attempts'],
  ])
})

describe('code that used p-retry moves over', () => {
  test('its waits, and its count of retries', async () => {
    const { clock, context, protect } = made({ retries: 4, minTimeout: 100, factor: 3, maxTimeout: 500 })
    const { handler, times } = script(...Array(5).fill(unavailable))
    const error = await outcome(clock, protect(handler)('x', context))
    expect(times).toEqual([0, 100, 400, 900, 1_400])
    expect(attemptsOf(error)).toBe(5)
  })

  test('its hooks are called in the same order and with the same numbers', async () => {
    const calls = async (run: (options: object) => Promise<unknown>): Promise<unknown[]> => {
      const log: unknown[] = []
      const note = (hook: string) => (failed: any) => {
        log.push([
          hook,
          failed.error.message,
          failed.attemptNumber,
          failed.retriesLeft,
          failed.retriesConsumed,
        ])
        return hook !== 'shouldConsumeRetry' || failed.attemptNumber !== 2
      }
      await run({
        retries: 2,
        minTimeout: 0,
        onFailedAttempt: note('onFailedAttempt'),
        shouldConsumeRetry: note('shouldConsumeRetry'),
        shouldRetry: note('shouldRetry'),
      }).catch(() => {})
      return log
    }
    let attempt = 0
    const theirs = await calls(options => pRetry(() => Promise.reject(new Error(`${++attempt}`)), options))
    const { clock, context } = made()
    let second = 0
    const ours = await calls(options => {
      const call = retry({ ...options, idempotent: true, budget: false })(() =>
        Promise.reject(new Error(`${++second}`)),
      )
      return outcome(clock, call('x', context))
    })
    expect(ours).toEqual(theirs)
    expect(second).toBe(4)
  })

  test('an AbortError ends it with the error that it is about', async () => {
    const original = new Error('no such user')
    const { clock, context, protect } = made()
    for (const failures of [[new AbortError(original)], [unavailable, new AbortError(original)]]) {
      const { handler, contexts } = script(...failures)
      expect(await outcome(clock, protect(handler)('x', context))).toBe(original)
      expect(contexts).toHaveLength(failures.length)
      expect(isFinal(original)).toBe(true)
    }
  })

  test('shouldRetry decides on errors that the kit has no good opinion of, but not on whether a call is idempotent', async () => {
    const internal = (): Error => Object.assign(new Error(), { status: 500 })
    for (const [idempotent, count] of [
      [true, 3],
      [false, 1],
    ] as const) {
      const { clock, context, protect } = made({ idempotent, shouldRetry: () => true })
      const { handler, contexts } = script(internal, internal, internal)
      await outcome(clock, protect(handler)('x', context))
      expect(contexts).toHaveLength(count)
    }
  })

  test('shouldRetry has no say on what a layer further in has given up on', async () => {
    const { clock, context, protect } = made({ shouldRetry: () => true })
    const { handler, contexts } = script(stop(unavailable()))
    await outcome(clock, protect(handler)('x', context))
    expect(contexts).toHaveLength(1)
  })

  test('a shouldRetry that says no ends it without a mark', async () => {
    const { clock, context, protect } = made({ shouldRetry: async () => false })
    const { handler, contexts } = script(unavailable)
    const error = await outcome(clock, protect(handler)('x', context))
    expect(contexts).toHaveLength(1)
    expect(isFinal(error)).toBe(false)
  })

  test('an error from a hook comes out as it is', async () => {
    const own = new Error('hook')
    for (const hook of ['onFailedAttempt', 'shouldRetry', 'shouldConsumeRetry']) {
      const { clock, context, protect } = made({
        [hook]: () => {
          throw own
        },
      })
      expect(await outcome(clock, protect(script(unavailable).handler)('x', context))).toBe(own)
    }
  })

  test('a mistake in the program is not repeated for ever by a shouldConsumeRetry that says no', async () => {
    const { clock, context, protect } = made({ shouldConsumeRetry: () => false })
    const bug = (): Error => new TypeError('x is not a function')
    const { handler, contexts } = script(...Array(50).fill(bug))
    expect(await outcome(clock, protect(handler)('x', context))).toBeInstanceOf(TypeError)
    expect(contexts).toHaveLength(1)
  })

  test('maxRetryTime bounds the whole, on the clock of the call', async () => {
    const { clock, context, protect } = made({ retries: 10, minTimeout: 100, factor: 1, maxRetryTime: 350 })
    const { handler, times } = script(...Array(20).fill(unavailable))
    await outcome(clock, protect(handler)('x', context))
    expect(times).toEqual([0, 100, 200, 300])
  })

  test('its signal ends every call, and keeps no listener', async () => {
    const controller = new AbortController()
    const { clock, context, protect } = made({ signal: controller.signal, minTimeout: 1_000 })
    const { handler } = script(unavailable, unavailable, unavailable)
    const call = protect(handler)('x', context)
    await clock.advance(10)
    const reason = new Error('shutting down')
    controller.abort(reason)
    await expect(call).rejects.toBe(reason)
    await expect(protect(handler)('x', context)).rejects.toBe(reason)
    expect(clock.armed).toBe(0)
  })

  test('waits too long for a timer are cut to what one can hold', async () => {
    const { clock, context, protect } = made({ retries: 1, minTimeout: 2 ** 40 })
    const { handler, contexts } = script(unavailable)
    const call = protect(handler)('x', context)
    await clock.advance(10_000)
    expect(contexts).toHaveLength(1)
    await clock.advance(2 ** 31)
    expect(await call).toBe('ok')
  })
})

test('a retry without options is not one without end: three attempts, with waits, as far as a budget goes', async () => {
  for (const protect of [retry(), retry({}), retry({ idempotent: true })]) {
    const clock = manualClock({ startMs: 0 })
    const { context } = openContext({ clock, idempotent: true })
    let calls = 0
    const call = protect(() => {
      calls++
      return Promise.reject(unavailable())
    })
    const failed = call('x', context).catch((error: unknown) => error)
    for (let i = 0; i < 20; i++) await clock.advance(1_000)
    expect(isFinal(await failed)).toBe(true)
    expect(calls).toBeLessThanOrEqual(3)
  }
  // A thousand of them at once do not make three thousand calls.
  const clock = manualClock({ startMs: 0 })
  const { context } = openContext({ clock, idempotent: true })
  let calls = 0
  const call = retry()(() => {
    calls++
    return Promise.reject(Object.assign(new Error('down'), { status: 503 }))
  })
  const all = Promise.all(Array.from({ length: 1_000 }, () => call('x', context).catch(() => {})))
  await clock.flush()
  expect(calls).toBe(1_000)
  for (let i = 0; i < 20; i++) await clock.advance(1_000)
  await all
  expect(calls).toBeLessThanOrEqual(1_000 + 100 + 10)
})

test('a wait of more than 24.8 days, which no timer of Node can hold, does not come at once', async () => {
  const open = openContext({ idempotent: true })
  let calls = 0
  // On the clock of the process: what fires at once is its timer.
  const call = retry({ backoff: backoff.constant(2 ** 40), budget: false })(() => {
    calls++
    return Promise.reject(Object.assign(new Error('down'), { status: 503 }))
  })('x', open.context)
  const ended = call.catch((error: unknown) => error)
  for (let i = 0; i < 5; i++) await new Promise(resolve => setTimeout(resolve, 10))
  expect(calls).toBe(1)
  open.cancel('enough')
  expect(await ended).toBe('enough')
  expect(calls).toBe(1)
})

test('a backoff is told what was waited before', async () => {
  const decorrelated = backoff.decorrelated({ baseMs: 100, maxMs: 1_000 })
  const { clock, context, protect } = made({ attempts: 4, backoff: decorrelated })
  const { handler, times } = script(unavailable, unavailable, unavailable)
  await outcome(clock, protect(handler)('x', context))
  expect(times).toEqual([0, 300, 1_200, 2_200])
})

test('a gate outside that waits for the work waits for that of every attempt which was given up early', async () => {
  const clock = manualClock()
  const open = openContext({ clock, idempotent: true })
  let ended = false
  const waits = gate({
    kind: 'other',
    name: 'waits',
    until: 'work',
    admit: () => undefined,
    settle: () => {
      ended = true
    },
  })
  // Each attempt is answered at once, and its work goes on for a second.
  const early: Handler<unknown, never> = (_request, context) => {
    const answer = Promise.reject(unavailable())
    answeredEarly(answer, sleep(context, 1_000))
    return answer
  }
  const call = chain(waits, retry({ backoff: backoff.constant(200) }))(early)(undefined, open.context)
  const failed = call.catch(() => {})
  await clock.advance(400)
  await failed
  await clock.advance(999)
  expect(ended).toBe(false)
  await clock.advance(1)
  expect(ended).toBe(true)
})

test('a gate outside that waits for the work waits for that of an attempt which the deadline cut short', async () => {
  const clock = manualClock({ startMs: 0 })
  const open = openContext({ clock, idempotent: true, timeoutMs: 300 })
  const endedAt: number[] = []
  const waits = gate({
    kind: 'other',
    name: 'waits',
    until: 'work',
    admit: () => undefined,
    settle: (_ticket, _outcome, now) => {
      endedAt.push(now)
    },
  })
  const passing = gate({ kind: 'other', name: 'passing', admit: () => undefined })
  const outlives = createContext({ clock })
  // The second attempt does not look at its signal.
  const stubborn: Handler<unknown, never> = async (_request, context) => {
    if (context.attempt === 2) await sleep(outlives, 400)
    throw unavailable()
  }
  const call = chain(waits, retry({ backoff: backoff.constant(100) }), passing)(stubborn)
  const failed = expect(call(undefined, open.context)).rejects.toMatchObject({ reason: 'deadline-exceeded' })
  await clock.advance(300)
  await failed
  expect(endedAt).toEqual([])
  await clock.advance(200)
  expect(endedAt).toEqual([500])
})

test('works in a chain with gates on either side', async () => {
  const { clock, context, protect } = made()
  const { handler } = script(unavailable)
  expect(await outcome(clock, chain(protect)(handler)('x', context))).toBe('ok')
})

test('options are checked', () => {
  expect(() => retry({ attempts: 0 })).toThrow('Expected `attempts` to be a whole number from 1 up, got 0')
  expect(() => retry({ attempts: Number.NaN })).toThrow('attempts')
  expect(() => retry({ retries: -1 })).toThrow('Expected `retries` to be a whole number from 0 up, got -1')
  expect(() => retry({ attempts: 2, retries: 2 })).toThrow('either `attempts` or `retries`')
  expect(() => retry({ backoff: backoff.constant(1), minTimeout: 5 })).toThrow(
    'either `backoff` or the waits',
  )
  expect(() => retry({ minUsefulMs: Number.NaN })).toThrow('minUsefulMs')
  expect(() => retry({ maxTimeout: Number.NaN })).toThrow('maxTimeout')
  expect(() => retry({ budget: {} as never })).toThrow('Expected `budget.withdraw` to be a function')
  expect(() => retry({ shouldRetry: 1 as never })).toThrow('Expected `shouldRetry` to be a function')
  expect(() => retry({ tries: 3 } as never)).toThrow('retry has no option `tries`')
})
