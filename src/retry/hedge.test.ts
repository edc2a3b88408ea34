import { getEventListeners } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { adviceOf, advise, isFinal } from '../core/advice.ts'
import { currentContext, withContext } from '../core/ambient.ts'
import { chain, gate } from '../core/chain.ts'
import { type Context, type ContextOptions, openContext } from '../core/context.ts'
import type { Outcome } from '../core/gate.ts'
import type { Handler } from '../core/handler.ts'
import { sleep } from '../internal/timer.ts'
import { triedEndpoints } from '../internal/tried.ts'
import { manualClock } from '../testing/index.ts'
import { retryBudget } from './budget.ts'
import { attemptsOf, stop } from './give-up.ts'
import { hedge } from './hedge.ts'
import type { HedgeOptions } from './hedge-options.ts'
import { gaveUp, retried } from './retry-event.ts'

const unavailable = (): Error => Object.assign(new Error('unavailable'), { status: 503 })

interface Turn {
  readonly ms: number
  readonly fails?: unknown
}

/** A handler whose attempts take as long, and fail with, what the script says; with their contexts and times. */
function script(...turns: readonly Turn[]) {
  const contexts: Context[] = []
  const starts: number[] = []
  const handler: Handler<unknown, number> = async (_request, context) => {
    const i = contexts.push(context) - 1
    starts.push(context.clock.now())
    const turn = turns[i]!
    await sleep(context, turn.ms)
    if (turn.fails !== undefined) throw turn.fails
    return i + 1
  }
  return { handler, contexts, starts }
}

function made(options: HedgeOptions = {}, context: ContextOptions = {}) {
  const clock = manualClock({ startMs: 0 })
  const open = openContext({ clock, idempotent: true, ...context })
  return { clock, ...open, protect: hedge({ delayMs: 50, ...options }) }
}

/** What the call comes to, and when. */
async function outcome(clock: ReturnType<typeof manualClock>, call: Promise<unknown>) {
  let result: { value: unknown; at: number } | undefined
  const note = (value: unknown): void => {
    result = { value, at: clock.now() }
  }
  call.then(note, note)
  await clock.flush()
  for (let i = 0; i < 50 && result === undefined; i++) await clock.advance(100)
  return result
}

test('a call that is answered before the delay is made once', async () => {
  const { clock, context, protect } = made()
  const { handler, starts } = script({ ms: 49 })
  expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 1, at: 49 })
  expect(starts).toEqual([0])
  expect(clock.armed).toBe(0)
})

test('a slow call is made a second time beside the first, and the first answer counts', async () => {
  const { clock, context, protect } = made()
  const { handler, starts, contexts } = script({ ms: 500 }, { ms: 20 })
  expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 2, at: 70 })
  expect(starts).toEqual([0, 50])
  expect(contexts.map(context => context.attempt)).toEqual([1, 2])
})

test('the attempt that lost is cancelled, and leaves neither timer nor listener', async () => {
  const controller = new AbortController()
  const { clock, context, protect } = made({}, { signal: controller.signal })
  const { handler, contexts } = script({ ms: 500 }, { ms: 20 })
  const call = protect((request, context) => {
    // Reading it makes the signal.
    expect(context.signal.aborted).toBe(false)
    return handler(request, context)
  })
  await outcome(clock, call('x', context))
  expect(contexts.map(context => context.signal.aborted)).toEqual([true, false])
  expect(contexts[0]!.signal.reason).toMatchObject({ reason: 'cancelled', policy: 'hedge' })
  expect(clock.armed).toBe(0)
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
})

test('to a breaker further in the attempt that lost says nothing', async () => {
  const outcomes: Outcome[] = []
  const breaker = gate({
    kind: 'breaker',
    name: 'breaker',
    admit: () => undefined,
    settle: (_ticket, outcome) => {
      outcomes.push(outcome)
    },
  })
  const { clock, context, protect } = made({ idempotent: true })
  await outcome(clock, chain(protect, breaker)(script({ ms: 500 }, { ms: 20 }).handler)('x', context))
  expect(outcomes.toSorted()).toEqual(['cancelled', 'success'])
})

test('nobody hears of the failure of an attempt that lost', async () => {
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  const { clock, context, protect } = made()
  const stubborn: Handler<unknown, string> = async (_request, { attempt, clock }) => {
    await new Promise<void>(resolve => {
      clock.arm(
        { at: 0, keepAlive: false, next: undefined, previous: undefined, ring: resolve },
        clock.now() + (attempt === 1 ? 300 : 10),
      )
    })
    if (attempt === 1) throw new Error('late and lost')
    return 'ok'
  }
  expect((await outcome(clock, protect(stubborn)('x', context)))?.value).toBe('ok')
  await clock.advance(1_000)
  process.off('unhandledRejection', unhandled)
  expect(unhandled).not.toHaveBeenCalled()
})

describe('which calls', () => {
  test('one that may not be made twice is let through as it is', async () => {
    const { clock, context, protect } = made({ idempotent: false })
    const { handler, contexts } = script({ ms: 500 })
    await outcome(clock, protect(handler)('x', context))
    expect(contexts).toEqual([context])
  })

  test('the request may say so', async () => {
    const { clock, context, protect } = made({ idempotent: request => request === 'GET' })
    for (const [request, count] of [
      ['GET', 2],
      ['POST', 1],
    ] as const) {
      const { handler, starts } = script({ ms: 500 }, { ms: 500 })
      await outcome(clock, protect(handler)(request, context))
      expect(starts).toHaveLength(count)
    }
  })

  test('a chain warns where no rule says which', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    chain(hedge({ name: 'without a rule' }))
    chain(hedge({ name: 'with a rule', idempotent: (_, context) => context.idempotent }))
    const messages = warned.mock.calls.map(([message]) => String(message))
    warned.mockRestore()
    expect(messages.filter(message => message.includes('without a rule'))).toHaveLength(1)
    expect(messages.filter(message => message.includes('with a rule'))).toHaveLength(0)
  })

  test('an endless delay is no hedge at all', async () => {
    const { clock, context, protect } = made({ delayMs: Infinity })
    const { handler, contexts } = script({ ms: 500, fails: unavailable() })
    await outcome(clock, protect(handler)('x', context))
    expect(contexts).toEqual([context])
  })
})

describe('failures', () => {
  test('one that another attempt may mend starts it at once', async () => {
    const { clock, context, protect } = made()
    const { handler, starts } = script({ ms: 10, fails: unavailable() }, { ms: 20 })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 2, at: 30 })
    expect(starts).toEqual([0, 10])
  })

  test('one that no attempt can mend ends the call', async () => {
    const notFound = Object.assign(new Error(), { status: 404 })
    const { clock, context, protect } = made()
    const { handler, starts } = script(
      { ms: 100, fails: new Error('never seen') },
      { ms: 20, fails: notFound },
    )
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: notFound, at: 70 })
    expect(starts).toHaveLength(2)
    expect(isFinal(notFound)).toBe(false)
  })

  test('when all fail the error is that of the first, marked as final', async () => {
    const [first, second] = [unavailable(), unavailable()]
    const { clock, context, protect } = made()
    const { handler } = script({ ms: 100, fails: first }, { ms: 10, fails: second })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: first, at: 100 })
    expect(isFinal(first)).toBe(true)
    expect(attemptsOf(first)).toBe(2)
  })

  test('a server that wants no more attempts gets none, and those that are out go on', async () => {
    const { clock, context, protect } = made({ attempts: 3 })
    const { handler, starts } = script({ ms: 100 }, { ms: 10, fails: stop(unavailable()) })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 1, at: 100 })
    expect(starts).toEqual([0, 50])
  })

  test('a wait that the server asks for takes the place of the delay', async () => {
    const later = unavailable()
    advise(later, { retry: 'later', retryAfterMs: 200 })
    const { clock, context, protect } = made()
    const { handler, starts } = script({ ms: 10, fails: later }, { ms: 20 })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 2, at: 230 })
    expect(starts).toEqual([0, 210])
  })

  test('a wait that cannot be read means no further attempt', async () => {
    for (const retryAfterMs of [-1, Number.NaN, 100_000]) {
      const later = unavailable()
      advise(later, { retry: 'later', retryAfterMs })
      const { clock, context, protect } = made()
      const { handler } = script({ ms: 10, fails: later })
      expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: later, at: 10 })
      expect(adviceOf(later)).toMatchObject({ retry: 'never' })
    }
  })

  test('a handler that throws has failed like any other', async () => {
    const { clock, context, protect } = made()
    let calls = 0
    const call = protect((): Promise<string> => {
      if (++calls === 1) throw unavailable()
      return Promise.resolve('ok')
    })
    expect((await outcome(clock, call('x', context)))?.value).toBe('ok')
  })
})

describe('bounds', () => {
  test('an empty budget means waiting for the first attempt', async () => {
    const budget = retryBudget({ ratio: 0, minPerSecond: 0 })
    const { clock, context, protect } = made({ budget })
    const { handler, starts } = script({ ms: 300 })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 1, at: 300 })
    expect(starts).toEqual([0])
    expect(budget.snapshot()).toMatchObject({ calls: 1, withdrawn: 0, refused: 1 })
  })

  test('an attempt that would have no time left is not made', async () => {
    const { clock, context, protect } = made({ minUsefulMs: 30 }, { timeoutMs: 70 })
    const { handler, starts } = script({ ms: 60 })
    expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 1, at: 60 })
    expect(starts).toEqual([0])
  })

  test('the end of the call is the end of every attempt, and the answer comes at once', async () => {
    const { clock, context, protect } = made({}, { timeoutMs: 80 })
    const contexts: Context[] = []
    const call = protect((_request, context) => {
      contexts.push(context)
      return new Promise<never>(() => {})
    })
    const ended = await outcome(clock, call('x', context))
    expect(ended).toMatchObject({ at: 80, value: { reason: 'deadline-exceeded' } })
    expect(contexts.map(context => context.ended)).toEqual([true, true])
    expect(clock.armed).toBe(0)
  })

  test('a call that has ended already is not made', async () => {
    const { clock, context, cancel, protect } = made()
    cancel()
    const { handler, starts } = script({ ms: 10 })
    expect((await outcome(clock, protect(handler)('x', context)))?.value).toMatchObject({
      reason: 'cancelled',
    })
    expect(starts).toEqual([])
  })

  test('an attempt that ends its own call ends the race', async () => {
    const { clock, context, cancel, protect } = made()
    const call = protect(() => {
      cancel()
      return Promise.reject(new Error('late'))
    })
    expect((await outcome(clock, call('x', context)))?.value).toMatchObject({ reason: 'cancelled' })
    expect(clock.armed).toBe(0)
  })
})

test('every attempt is shown the same set of endpoints, for a balancer to keep apart', async () => {
  const { clock, context, protect } = made()
  const seen: string[][] = []
  const call = protect(async (_request, context) => {
    const tried = context.get(triedEndpoints)!
    seen.push([...tried])
    tried.add(`endpoint ${seen.length}`)
    await sleep(context, 100)
  })
  await outcome(clock, call('x', context))
  expect(seen).toEqual([[], ['endpoint 1']])
})

test('code without a context argument sees its own attempt', async () => {
  const { clock, context, protect } = made()
  const seen: (number | undefined)[] = []
  const call = protect(async (_request, context) => {
    seen.push(currentContext()?.attempt)
    await sleep(context, 100)
  })
  await outcome(
    clock,
    withContext(context, () => call('x', context)),
  )
  expect(seen).toEqual([1, 2])
})

test('tells of each further attempt, and of giving up', async () => {
  const told: unknown[] = []
  const offs = [
    retried.on(event => told.push(['another', event.attempt, event.delayMs])),
    gaveUp.on(event => told.push(['gave up', event.attempts, event.cause])),
  ]
  const { clock, context, protect } = made()
  const { handler } = script({ ms: 100, fails: unavailable() }, { ms: 100, fails: unavailable() })
  await outcome(clock, protect(handler)('x', context))
  for (const off of offs) off()
  expect(told).toEqual([
    ['another', 2, 50],
    ['gave up', 2, 'attempts'],
  ])
})

test('two answers of one moment: the attempt that began first has it', async () => {
  const { clock, context, protect } = made()
  const { handler } = script({ ms: 100 }, { ms: 50 })
  expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 1, at: 100 })
})

test('a listener that ends the call as it is told of an attempt: the attempt is not made', async () => {
  const { clock, context, cancel, protect } = made()
  const off = retried.on(() => cancel('enough'))
  const { handler, starts } = script({ ms: 100 }, { ms: 10 })
  expect(await outcome(clock, protect(handler)('x', context))).toEqual({ value: 'enough', at: 50 })
  off()
  expect(starts).toEqual([0])
  expect(clock.armed).toBe(0)
})

test('options are checked', () => {
  expect(() => hedge({ attempts: 11 })).toThrow(
    'Expected `attempts` to be a whole number from 1 to 10, got 11',
  )
  expect(() => hedge({ delayMs: -1 })).toThrow('Expected `delayMs` to be a number from 0 up, got -1')
  expect(() => hedge({ quantile: 95 })).toThrow('Expected `quantile` to be a number from 0 to 1, got 95')
  expect(() => hedge({ periodMs: Number.NaN })).toThrow('periodMs')
  expect(() => hedge({ delay: 5 } as never)).toThrow('hedge has no option `delay`')
})
