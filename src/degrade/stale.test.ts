import { describe, expect, it } from 'vitest'
import { withContext } from '../core/ambient.ts'
import { collectAnswerFields, degradedParts } from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import { Rejection } from '../core/rejection.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { degraded } from './events.ts'
import { memoryStore } from './memory-store.ts'
import { type StaleOptions, stale } from './stale.ts'

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

function setUp(options: Partial<StaleOptions<string, string | null>> = {}) {
  const clock = manualClock()
  const calls: (Deferred<string | null> & { readonly context: Context })[] = []
  const cache = stale<string, string | null>({
    key: request => request,
    freshMs: 100,
    staleMs: 100,
    ifErrorMs: 1_000,
    jitterRatio: 0,
    clock,
    ...options,
  })
  const call = cache((_request: string, context: Context) => {
    const work = { ...defer<string | null>(), context }
    calls.push(work)
    return work.promise
  })
  const context = createContext({ clock })
  /** Makes a call and lets the dependency answer it at once. */
  const fill = async (value: string | null, key = 'a') => {
    const answer = call(key, context)
    calls.at(-1)!.resolve(value)
    await answer
  }
  return { clock, calls, cache, call, context, fill }
}

describe('stale', () => {
  it('gives a fresh copy instead of a call', async () => {
    const { calls, call, context, fill, clock, cache } = setUp()
    await fill('one')
    await clock.advance(99)
    expect(await call('a', context)).toBe('one')
    expect(calls).toHaveLength(1)
    expect(cache.snapshot()).toMatchObject({ called: 1, fresh: 1, stale: 0 })
  })

  it('gives an older copy at once and renews it behind, once', async () => {
    const { calls, call, context, fill, clock, cache } = setUp()
    await fill('one')
    await clock.advance(100)
    expect(await Promise.all([call('a', context), call('a', context)])).toEqual(['one', 'one'])
    expect(calls).toHaveLength(2)
    expect(cache.snapshot()).toMatchObject({ stale: 2, refreshed: 1, refreshing: 1 })
    calls[1]!.resolve('two')
    await clock.flush()
    expect(await call('a', context)).toBe('two')
    expect(cache.snapshot()).toMatchObject({ refreshing: 0, fresh: 1 })
  })

  it('renews outside the deadline of whoever was given the old copy, and is not called off with them', async () => {
    const { calls, call, fill, clock } = setUp({ refreshMs: 500 })
    await fill('one')
    await clock.advance(150)
    const { context, cancel } = openContext({ clock, timeoutMs: 5 })
    expect(await call('a', context)).toBe('one')
    const own = calls[1]!.context
    cancel('answered')
    expect(own.remainingMs).toBe(500)
    expect(own.ended).toBe(false)
    own.signal.addEventListener('abort', () => calls[1]!.reject(own.signal.reason))
    await clock.advance(500)
    expect(own.ended).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('a background call that hangs is not waited for for ever', async () => {
    const { calls, call, context, fill, clock } = setUp({ refreshMs: 10, staleMs: 1_000 })
    await fill('one')
    await clock.advance(150)
    await call('a', context)
    await clock.advance(10)
    await call('a', context)
    expect(calls).toHaveLength(3)
  })

  it('gives an old copy when the call fails, says so, and never one that is too old', async () => {
    const { calls, clock, fill, call } = setUp()
    await fill('one')
    await clock.advance(600)
    const heard: unknown[] = []
    const stop = degraded.on(event => heard.push(event))
    const { context, fields } = collectAnswerFields(createContext({ clock }))
    const answer = call('a', context)
    const error = new Error('down')
    calls[1]!.reject(error)
    expect(await answer).toBe('one')
    stop()
    expect(fields.get('x-degraded')).toBe('stale')
    expect(degradedParts(context)).toEqual([{ part: 'stale', source: 'stale', ageMs: 600 }])
    expect(heard).toEqual([{ policy: 'stale', part: 'stale', source: 'stale', ageMs: 600, error }])
    await clock.advance(400)
    const late = settled(call('a', context))
    await clock.advance(101)
    calls[2]!.reject(error)
    expect(await late).toBe(error)
  })

  it('does not hide an error that the request is to blame for, nor answer a caller who has gone', async () => {
    const { calls, clock, fill, call } = setUp()
    await fill('one')
    await clock.advance(300)
    const context = createContext({ clock })
    const missing = settled(call('a', context))
    const notFound = Object.assign(new Error('no such item'), { status: 404 })
    calls[1]!.reject(notFound)
    expect(await missing).toBe(notFound)
    const { context: own, cancel } = openContext({ clock })
    const gone = settled(call('a', own))
    cancel('gone')
    calls[2]!.reject(own.scope.reason)
    expect(await gone).toBe('gone')
  })

  it('gives an old copy when the call runs out of its own, smaller time', async () => {
    const clock = manualClock()
    let works = true
    const call = chain<string>(
      stale({ key: request => request as string, freshMs: 10, ifErrorMs: 1e6 }),
      deadline({ totalMs: 50 }),
    )(async () => (works ? 'one' : new Promise<string>(() => {})))
    const context = createContext({ clock, timeoutMs: 80 })
    await call('a', context)
    works = false
    await clock.advance(20)
    const answer = call('a', context)
    await clock.advance(50)
    expect(await answer).toBe('one')
  })

  it('does not let a late answer replace one that was asked for after it', async () => {
    const { calls, call, context, clock } = setUp()
    const slow = call('a', context)
    await clock.advance(5)
    const quick = call('a', context)
    calls[1]!.resolve('new')
    await quick
    calls[0]!.resolve('old')
    expect(await slow).toBe('old')
    expect(await call('a', context)).toBe('new')
  })

  it('does not keep an answer that was asked for before its key was forgotten', async () => {
    const { calls, call, cache, context, clock } = setUp()
    const before = call('a', context)
    await clock.advance(5)
    await cache.forget('a')
    calls[0]!.resolve('from before the change')
    await before
    void call('a', context)
    expect(calls).toHaveLength(2)
  })

  it('does not keep an answer that was asked for in the same instant in which its key was forgotten', async () => {
    const { calls, call, cache, context } = setUp()
    const before = call('a', context)
    await cache.forget('a')
    calls[0]!.resolve('from before the change')
    await before
    void call('a', context)
    expect(calls).toHaveLength(2)
  })

  it('remembers that there is nothing, for a time of its own and not a moment longer', async () => {
    const { calls, call, context, clock, fill, cache } = setUp({ absentMs: 20 })
    await fill(null)
    await clock.advance(19)
    expect(await call('a', context)).toBeNull()
    await clock.advance(1)
    const answer = settled(call('a', context))
    const error = new Error('down')
    calls[1]!.reject(error)
    expect(await answer).toBe(error)
    expect(cache.snapshot()).toMatchObject({ absent: 1, fresh: 0, stoodIn: 0 })
  })

  it('remembers a failure that says that there is nothing, without keeping the error itself', async () => {
    const { calls, call, context, clock } = setUp({
      absentMs: 20,
      absentError: error => (error as { status?: number }).status === 404,
    })
    const first = settled(call('a', context))
    const error = Object.assign(new RangeError('no such item'), { status: 404, request: { secret: 1 } })
    calls[0]!.reject(error)
    expect(await first).toBe(error)
    const second = (await settled(call('a', context))) as Error
    expect(second).not.toBe(error)
    expect(second).toMatchObject({ name: 'RangeError', message: 'no such item', status: 404 })
    expect(second).not.toHaveProperty('request')
    expect(calls).toHaveLength(1)
    await clock.advance(21)
    void call('a', context)
    expect(calls).toHaveLength(2)
  })

  it('lets copies that were made together run out at different times', async () => {
    const randoms = [0, 0.5, 1 - 1e-9]
    const { calls, call, context, clock, fill } = setUp({
      jitterRatio: 0.4,
      staleMs: 0,
      random: () => randoms.shift()!,
    })
    for (const key of ['a', 'b', 'c']) await fill('x', key)
    await clock.advance(70)
    for (const key of ['a', 'b', 'c']) void call(key, context)
    expect(calls).toHaveLength(4)
    await clock.advance(20)
    for (const key of ['a', 'b']) void call(key, context)
    expect(calls).toHaveLength(5)
  })

  it('makes the call when the store fails or hangs, and leaves it alone for a while', async () => {
    const clock = manualClock()
    let reads = 0
    const broken = {
      get: () => {
        reads++
        return new Promise<undefined>(() => {})
      },
      set: () => Promise.reject(new Error('down')),
      delete: () => Promise.reject(new Error('down')),
    }
    const cache = stale<string, string>({
      key: request => request,
      freshMs: 100,
      store: broken,
      storeTimeoutMs: 20,
      clock,
    })
    const call = cache(async () => 'fresh')
    const context = createContext({ clock, timeoutMs: 1_000 })
    const answer = call('a', context)
    await clock.advance(20)
    expect(await answer).toBe('fresh')
    expect(await call('a', context)).toBe('fresh')
    expect(reads).toBe(1)
    await expect(cache.forget('a')).rejects.toThrow('down')
    expect(cache.snapshot()).toMatchObject({ called: 2, storeFailures: 2 })
    expect(clock.armed).toBe(0)
  })

  it('forgets within a time of its own, or says that it may not have, when the store hangs', async () => {
    const clock = manualClock()
    const hung = {
      get: () => undefined,
      set: () => {},
      delete: () => new Promise<void>(() => {}),
    }
    const cache = stale({ key: () => 'a', freshMs: 100, store: hung, forgetTimeoutMs: 200, clock })
    let answer: unknown = 'none'
    void settled(cache.forget('a')).then(error => {
      answer = error
    })
    await clock.advance(199)
    expect(answer).toBe('none')
    await clock.advance(1)
    expect(answer).toMatchObject({
      message: 'stale: the store has not answered in 200 ms, so what was to be forgotten may still be there',
    })
    expect(cache.snapshot().storeFailures).toBe(1)
    expect(clock.armed).toBe(0)
  })

  it('does not call an answer that has come old because reading the store took time', async () => {
    const clock = manualClock()
    const inner = memoryStore()
    const answer = defer<void>()
    const slow = {
      get: async (key: string, now: number) => {
        const copy = inner.get(key, now)
        await answer.promise
        return copy
      },
      set: inner.set.bind(inner),
      delete: inner.delete.bind(inner),
    }
    let made = 0
    const call = stale({ key: () => 'a', freshMs: 100, jitterRatio: 0, store: slow })(async () => ++made)
    const context = createContext({ clock })
    inner.set('a', { value: 'kept' }, { tookMs: 0, freshMs: 100, keepMs: 200 }, clock.now())
    await clock.advance(70)
    const got = call('x', context)
    await clock.advance(40)
    answer.resolve()
    expect(await got).toBe(1)
  })

  it('leaves calls without a key to themselves, and works with an ambient context', async () => {
    const { calls, call, context, clock } = setUp({ key: () => undefined })
    void call('a', context)
    void call('a', context)
    expect(calls).toHaveLength(2)
    const cached = setUp()
    await withContext(createContext({ clock }), async () => {
      const answer = cached.call('a')
      cached.calls[0]!.resolve('one')
      expect(await answer).toBe('one')
    })
  })

  it('checks its options, all or none', () => {
    expect(() => setUp({ freshMs: -1 })).toThrow('Expected `freshMs` to be a number from 0 up, got -1')
    expect(() => setUp({ jitterRatio: 2 })).toThrow(
      'Expected `jitterRatio` to be a number from 0 to 1, got 2',
    )
    expect(() => setUp({ storeTimeoutMs: 0 })).toThrow('Expected `storeTimeoutMs`')
    expect(() => setUp({ stalMs: 1 } as never)).toThrow('stale has no option `stalMs`')
    const { cache } = setUp()
    expect(() => cache.update({ freshMs: 5, staleMs: -5 })).toThrow('Expected `staleMs`')
    expect(cache.snapshot().freshMs).toBe(100)
    cache.update({ staleMs: 7 })
    expect(cache.snapshot()).toMatchObject({ freshMs: 100, staleMs: 7 })
    cache.reset()
  })

  it('stands in for a refusal from further in', async () => {
    const { calls, call, context, fill, clock } = setUp()
    await fill('one')
    await clock.advance(300)
    const answer = call('a', context)
    calls[1]!.reject(new Rejection({ reason: 'breaker-open', policy: 'x', retry: 'never' }))
    expect(await answer).toBe('one')
  })
})
