import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { currentContext, withContext } from '../core/ambient.ts'
import { collectAnswerFields, degradedParts, markDegraded } from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { type Context, createContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { singleflight } from './singleflight.ts'

/** A handler whose calls end when the test says so. */
function backend() {
  const calls: (Deferred<object> & { readonly request: unknown; readonly context: Context })[] = []
  const handler = (request: unknown, context: Context) => {
    const call = { ...defer<object>(), request, context }
    calls.push(call)
    return call.promise
  }
  return { calls, handler }
}

const byRequest = (request: unknown) => request as string | undefined
const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )
const flush = () => new Promise(resolve => setImmediate(resolve))

describe('singleflight', () => {
  it('makes one call for all who ask at the same time, and another for the next', async () => {
    const { calls, handler } = backend()
    const shared = singleflight({ key: byRequest })
    const call = shared(handler)
    const answers = [call('a'), call('a'), call('b'), call('a')]
    expect(calls.map(({ request }) => request)).toEqual(['a', 'b'])
    expect(shared.snapshot()).toMatchObject({ flights: 2, waiting: 4, started: 2, joined: 2 })
    const answer = {}
    for (const { resolve } of calls) resolve(answer)
    for (const got of await Promise.all(answers)) expect(got).toBe(answer)
    expect(shared.snapshot()).toMatchObject({ flights: 0, waiting: 0 })
    void call('a')
    expect(calls).toHaveLength(3)
  })

  it('shares a failure, the same error for all, and does not keep it', async () => {
    const { calls, handler } = backend()
    const call = singleflight({ key: byRequest })(handler)
    const answers = [call('a'), call('a')].map(settled)
    const error = new Error('down')
    calls[0]!.reject(error)
    for (const got of await Promise.all(answers)) expect(got).toBe(error)
    void call('a')
    expect(calls).toHaveLength(2)
  })

  it('does not keep a key whose handler throws at once', async () => {
    const shared = singleflight({ key: byRequest })
    const call = shared(() => {
      throw new Error('at once')
    })
    for (let i = 0; i < 2; i++) await expect(call('a')).rejects.toThrow('at once')
    expect(shared.snapshot()).toMatchObject({ flights: 0, started: 2 })
  })

  it('lets each caller leave by itself and calls the flight off with the last', async () => {
    const { calls, handler } = backend()
    const shared = singleflight({ key: byRequest })
    const call = shared(handler)
    const callers = [new AbortController(), new AbortController()]
    const answers = callers.map(({ signal }) => settled(call('a', createContext({ signal }))))
    callers[0]!.abort('first gone')
    expect(await answers[0]).toBe('first gone')
    expect(calls[0]!.context.ended).toBe(false)
    callers[1]!.abort('second gone')
    expect(calls[0]!.context.ended).toBe(true)
    expect(calls[0]!.context.signal.aborted).toBe(true)
    expect(await answers[1]).toBe('second gone')
    // Nobody joins a call that was called off.
    void call('a')
    expect(calls).toHaveLength(2)
    calls[0]!.reject(new Error('nobody hears this'))
    for (const { signal } of callers) expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    await flush()
    expect(shared.snapshot()).toMatchObject({ flights: 1, waiting: 1 })
  })

  it('has until the latest deadline of those who wait', async () => {
    const clock = manualClock({ startMs: 0 })
    const { calls, handler } = backend()
    const call = singleflight({ key: byRequest })(handler)
    const hasty = settled(call('a', createContext({ clock, timeoutMs: 10 })))
    expect(calls[0]!.context.deadline).toBe(10)
    const patient = call('a', createContext({ clock, timeoutMs: 50 }))
    const { signal } = calls[0]!.context
    expect(calls[0]!.context.deadline).toBe(50)
    await clock.advance(10)
    expect(await hasty).toMatchObject({ reason: 'deadline-exceeded' })
    expect(signal.aborted).toBe(false)
    await clock.advance(30)
    const answer = {}
    calls[0]!.resolve(answer)
    expect(await patient).toBe(answer)
    expect(clock.armed).toBe(0)
  })

  it('aborts the call when the last deadline has passed', async () => {
    const clock = manualClock({ startMs: 0 })
    const { calls, handler } = backend()
    const shared = singleflight({ key: byRequest })
    const call = shared(handler)
    const answers = [10, 50].map(timeoutMs => settled(call('a', createContext({ clock, timeoutMs }))))
    const { signal } = calls[0]!.context
    await clock.advance(49)
    expect(signal.aborted).toBe(false)
    await clock.advance(1)
    expect(signal.aborted).toBe(true)
    for (const got of await Promise.all(answers)) expect(got).toMatchObject({ reason: 'deadline-exceeded' })
    expect(shared.snapshot().flights).toBe(0)
    expect(clock.armed).toBe(0)
  })

  it('does not join a call that has been going on for too long, nor one that was forgotten', async () => {
    const clock = manualClock()
    const { calls, handler } = backend()
    const shared = singleflight({ key: byRequest, maxAgeMs: 100 })
    const call = shared(handler)
    const context = createContext({ clock })
    const answers = [call('a', context)]
    await clock.advance(101)
    answers.push(call('a', context))
    expect(calls).toHaveLength(2)
    shared.forget('a')
    answers.push(call('a', context))
    expect(calls).toHaveLength(3)
    expect(shared.snapshot().flights).toBe(1)
    calls.forEach(({ resolve }, i) => {
      resolve({ i })
    })
    expect(await Promise.all(answers)).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }])
    expect(shared.snapshot().flights).toBe(0)
  })

  it('never gives the answer of one handler to the callers of another', async () => {
    const shared = singleflight({ key: byRequest })
    const users = shared(async () => 'user')
    const orders = shared(async () => 'order')
    expect(await Promise.all([users('7'), orders('7'), users('7')])).toEqual(['user', 'order', 'user'])
  })

  it('leaves calls without a key, and calls past its bound, to themselves', async () => {
    const { calls, handler } = backend()
    const shared = singleflight({ key: byRequest, maxFlights: 1 })
    const call = shared(handler)
    void call(undefined)
    void call(undefined)
    void call('a')
    void call('b')
    void call('b')
    void call('a')
    expect(calls.map(({ request }) => request)).toEqual([undefined, undefined, 'a', 'b', 'b'])
    expect(shared.snapshot()).toMatchObject({ flights: 1, joined: 1, alone: 2 })
  })

  it('gives each caller but the first a copy when asked to', async () => {
    const call = singleflight({ key: byRequest, copy: structuredClone<{ n: number[] }> })(async () => ({
      n: [1],
    }))
    const [first, second] = await Promise.all([call('a'), call('a')])
    first!.n.push(2)
    expect(second).toEqual({ n: [1] })
  })

  it('passes on to every caller what was said about the answer', async () => {
    const call = singleflight({ key: byRequest })(async (_request, context) => {
      await flush()
      markDegraded(context, 'reviews', { source: 'stale', ageMs: 3 })
      return {}
    })
    const callers = [1, 2].map(() => collectAnswerFields(createContext()))
    await Promise.all(callers.map(({ context }) => call('a', context)))
    for (const { context, fields } of callers) {
      expect(degradedParts(context)).toEqual([{ part: 'reviews', source: 'stale', ageMs: 3 }])
      expect(fields.get('x-degraded')).toBe('reviews')
    }
  })

  it('puts the context of the flight in place of that of its first caller', async () => {
    const seen: unknown[] = []
    const call = chain(singleflight({ key: byRequest }))(async (_request, context) => {
      seen.push(currentContext() === context, context.tenant)
    })
    const caller = createContext({ tenant: 'blue' })
    await withContext(caller, () => call('a'))
    expect(seen).toEqual([true, 'blue'])
  })

  it('refuses a call that has ended, and rejects when the key cannot be told', async () => {
    const { handler, calls } = backend()
    const signal = AbortSignal.abort('before')
    expect(await settled(singleflight({ key: byRequest })(handler)('a', createContext({ signal })))).toBe(
      'before',
    )
    const failing = singleflight({
      key: () => {
        throw new Error('no key')
      },
    })
    expect(await settled(failing(handler)('a'))).toMatchObject({ message: 'no key' })
    expect(calls).toHaveLength(0)
  })

  it('checks its options, all or none', () => {
    expect(() => singleflight({} as never)).toThrow('Expected `key` to be a function')
    const shared = singleflight({ key: byRequest })
    expect(() => shared.update({ maxFlights: 5, maxAgeMs: -1 })).toThrow('Expected `maxAgeMs`')
    expect(shared.snapshot().maxFlights).toBe(10_000)
    shared.update({ maxFlights: 5 })
    expect(shared.snapshot()).toMatchObject({ maxFlights: 5, maxAgeMs: Infinity })
    shared.reset()
  })
})
