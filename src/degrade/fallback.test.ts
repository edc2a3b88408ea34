import { describe, expect, it } from 'vitest'
import { advise, isFinal } from '../core/advice.ts'
import { collectAnswerFields, degradedParts } from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import { cancelled, isRejection, Rejection } from '../core/rejection.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { degraded } from './events.ts'
import { fallback } from './fallback.ts'
import { fallbackError } from './fallback-error.ts'
import { memoryStore } from './memory-store.ts'
import { stale } from './stale.ts'

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )
const key = (request: unknown) => request as string

/** A handler that does what it is told to. */
function dependency() {
  let mood: 'works' | Error = 'works'
  let calls = 0
  return {
    handler: async (request: unknown) => {
      calls++
      if (mood !== 'works') throw mood
      return `fresh ${String(request)} ${calls}`
    },
    fails: (error: Error) => {
      mood = error
    },
    get calls() {
      return calls
    },
  }
}

describe('fallback', () => {
  it('gives the fresh answer while there is one, and only writes to the store', async () => {
    const store = memoryStore()
    const { handler } = dependency()
    const call = fallback({ store, key })(handler)
    expect(await call('a')).toBe('fresh a 1')
    expect(await call('a')).toBe('fresh a 2')
    expect(store.snapshot()).toMatchObject({ hits: 0, misses: 0, entries: 1 })
  })

  it('goes from the copy to the default to the error', async () => {
    const clock = manualClock()
    const context = createContext({ clock })
    const error = new Error('down')
    const from = dependency()
    const guarded = fallback({ name: 'reviews', store: memoryStore(), key, maxStaleMs: 100, default: 'none' })
    const call = guarded(from.handler)
    await call('a', context)
    from.fails(error)
    const answer = collectAnswerFields(context)
    await clock.advance(100)
    expect(await call('a', answer.context)).toBe('fresh a 1')
    expect(degradedParts(answer.context)).toEqual([{ part: 'reviews', source: 'stale', ageMs: 100 }])
    expect(answer.fields.get('x-degraded')).toBe('reviews')
    await clock.advance(1)
    const other = collectAnswerFields(context)
    expect(await call('a', other.context)).toBe('none')
    expect(degradedParts(other.context)).toEqual([{ part: 'reviews', source: 'default' }])
    expect(guarded.snapshot()).toMatchObject({ fresh: 1, stale: 1, default: 1, failed: 0 })
    const without = fallback({ store: memoryStore(), key })
    expect(await settled(without(from.handler)('a', context))).toBe(error)
    expect(without.snapshot()).toMatchObject({ failed: 1 })
  })

  it('makes a default from the request and the error, within a small time of its own', async () => {
    const clock = manualClock()
    const error = new Error('down')
    const from = dependency()
    from.fails(error)
    let own: Context | undefined
    const call = fallback<string, string>({
      timeoutMs: 30,
      default: async (request, context, failure) => {
        own = context
        if (request === 'slow') await sleep(context, 1_000)
        return `${request} without ${(failure as Error).message}`
      },
    })(from.handler)
    expect(await call('quick', createContext({ clock, timeoutMs: 10 }))).toBe('quick without down')
    expect(own!.remainingMs).toBe(10)
    const slow = settled(call('slow', createContext({ clock, timeoutMs: 500 })))
    await clock.advance(30)
    expect(await slow).toBe(error)
    expect(isRejection(fallbackError(error), 'deadline-exceeded')).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('makes no more defaults at a time than it may, and gives the original error to the rest', async () => {
    const from = dependency()
    from.fails(new Error('down'))
    const works: Deferred<string>[] = []
    const guarded = fallback<string, string>({
      limit: 2,
      default: () => {
        const work = defer<string>()
        works.push(work)
        return work.promise
      },
    })
    const call = guarded(from.handler)
    const answers = ['a', 'b', 'c'].map(request => settled(call(request)))
    const refused = (await answers[2]) as Error
    expect(refused.message).toBe('down')
    expect(fallbackError(refused)).toMatchObject({ reason: 'bulkhead-full', policy: 'fallback' })
    expect(guarded.snapshot().active).toBe(2)
    for (const work of works) work.resolve('made')
    expect(await Promise.all(answers.slice(0, 2))).toEqual(['made', 'made'])
    expect(guarded.snapshot().active).toBe(0)
  })

  it('throws the original error itself when the default fails too', async () => {
    const from = dependency()
    const error = new Rejection({ reason: 'breaker-open', policy: 'x', retry: 'never' })
    from.fails(error)
    const second = new Error('and that')
    const call = fallback<unknown, string>({
      default: () => {
        throw second
      },
    })(from.handler)
    expect(await settled(call('a'))).toBe(error)
    expect(fallbackError(error)).toBe(second)
    expect(JSON.stringify(error)).not.toContain('and that')
  })

  it('steps in for refusals, timeouts and faults, and for what was marked as final', async () => {
    const final = new Error('given up below')
    advise(final, { retry: 'never' })
    const refusal = new Rejection({ reason: 'shed', policy: 'x', retry: 'elsewhere' })
    const unavailable = Object.assign(new Error('14'), { code: 14, details: '' })
    for (const error of [final, refusal, unavailable, new Error('any other'), new TypeError('a bug')]) {
      const from = dependency()
      from.fails(error)
      expect(await fallback({ default: 'default' })(from.handler)('a')).toBe('default')
    }
    expect(isFinal(final)).toBe(true)
  })

  it('does not step in for what the request is to blame for, or for a call that was cancelled', async () => {
    const notFound = Object.assign(new Error('404'), { status: 404 })
    const invalid = Object.assign(new Error('3'), { code: 3, details: 'INVALID_ARGUMENT' })
    for (const error of [notFound, invalid, cancelled('x') as Error]) {
      const from = dependency()
      from.fails(error)
      expect(await settled(fallback({ default: 'default' })(from.handler)('a'))).toBe(error)
    }
    const { context, cancel } = openContext()
    const call = fallback({ default: 'default' })(async () => {
      cancel('gone')
      throw new Error('after that')
    })
    expect(await settled(call('a', context))).toMatchObject({ message: 'after that' })
  })

  it('asks `when` instead, where there is one', async () => {
    const from = dependency()
    const call = fallback({ default: 'default', when: error => (error as Error).message === 'this' })(
      from.handler,
    )
    from.fails(new Error('this'))
    expect(await call('a')).toBe('default')
    from.fails(new Error('that'))
    await expect(call('a')).rejects.toThrow('that')
  })

  it('needs time outside the deadline of the call', async () => {
    const clock = manualClock()
    const hangs = () => new Promise<string>(() => {})
    const call = chain(fallback({ default: 'default' }), deadline({ totalMs: 1_000, reserveMs: 20 }))(hangs)
    const answer = call('a', createContext({ clock, timeoutMs: 100 }))
    await clock.advance(80)
    expect(await answer).toBe('default')
    const late = settled(
      chain(fallback({ default: 'default' }))(hangs)('a', createContext({ clock, timeoutMs: 0 })),
    )
    expect(await late).toMatchObject({ reason: 'deadline-exceeded' })
  })

  it('does not make a call that is switched off', async () => {
    const from = dependency()
    let off = false
    const guarded = fallback({ store: memoryStore(), key, off: () => off })
    const call = guarded(from.handler)
    await call('a')
    off = true
    const answer = collectAnswerFields(createContext())
    expect(await call('a', answer.context)).toBe('fresh a 1')
    expect(degradedParts(answer.context)).toMatchObject([{ source: 'stale' }])
    expect(await settled(call('b'))).toMatchObject({ reason: 'shed', retry: 'never', policy: 'fallback' })
    expect(from.calls).toBe(1)
    expect(guarded.snapshot()).toMatchObject({ off: 2, stale: 1, failed: 1 })
  })

  it('renews a copy in the background after a timeout, once for each key, and not after other failures', async () => {
    const clock = manualClock()
    const works: (Deferred<string> & { context: Context })[] = []
    const guarded = fallback<string, string>({ store: memoryStore(), key, refreshMs: 500, default: 'none' })
    const call = chain(
      guarded,
      deadline({ totalMs: 50 }),
    )(async (_request, context) => {
      const work = { ...defer<string>(), context }
      works.push(work)
      return work.promise
    })
    const context = createContext({ clock })
    const first = call('a', context)
    works[0]!.resolve('one')
    await first
    const slow = [call('a', context), call('a', context)]
    await clock.advance(50)
    expect(await Promise.all(slow)).toEqual(['one', 'one'])
    expect(works).toHaveLength(4)
    expect(guarded.snapshot()).toMatchObject({ refreshing: 1, stale: 2 })
    works[3]!.resolve('two')
    await clock.flush()
    const failing = call('a', context)
    works[4]!.reject(new Error('down'))
    expect(await failing).toBe('two')
    expect(works).toHaveLength(5)
    expect(guarded.snapshot()).toMatchObject({ refreshing: 0 })
    expect(clock.armed).toBe(0)
  })

  it('leaves the call its own error where the rule that decides throws', async () => {
    const original = Object.assign(new Error('down'), { status: 503 })
    const mistake = new TypeError('a mistake in the rule')
    const when = (): never => {
      throw mistake
    }
    const guarded = fallback<string, string>({ default: 'default', when })
    const cached = stale<string, string>({ key: () => 'a', freshMs: 0, ifErrorMs: 1_000, when })
    let fails = false
    const handler = async (): Promise<string> => {
      if (fails) throw original
      return 'fresh'
    }
    const kept = cached(handler)
    await kept('x', createContext())
    fails = true
    for (const call of [guarded(handler), kept]) {
      await expect(call('x', createContext())).rejects.toBe(original)
      expect(fallbackError(original)).toBe(mistake)
    }
    expect(guarded.snapshot()).toMatchObject({ fresh: 0, default: 0, failed: 1 })
  })

  it('tells whoever listens', async () => {
    const heard: unknown[] = []
    const stop = degraded.on(event => heard.push(event))
    const error = new Error('down')
    const from = dependency()
    from.fails(error)
    await fallback({ default: 'default', name: 'ads' })(from.handler)('a')
    stop()
    expect(heard).toEqual([{ policy: 'ads', part: 'ads', source: 'default', ageMs: undefined, error }])
  })

  it('goes on without a store that fails, and without a copy of nothing', async () => {
    const from = dependency()
    const error = new Error('down')
    const broken = {
      get: () => {
        throw new Error('store down')
      },
      set: () => {
        throw new Error('store down')
      },
      delete: () => {},
    }
    const guarded = fallback({ store: broken, key, default: 'default', storePauseMs: 0 })
    const call = guarded(from.handler)
    expect(await call('a')).toBe('fresh a 1')
    from.fails(error)
    expect(await call('a')).toBe('default')
    expect(guarded.snapshot().storeFailures).toBe(2)
    const store = memoryStore()
    store.set(
      'a',
      { error: { name: 'Error', message: 'not found' } },
      { tookMs: 0, freshMs: 9, keepMs: 1e9 },
      performance.now(),
    )
    expect(await fallback({ store, key, default: 'default' })(from.handler)('a')).toBe('default')
  })

  it('checks its options, all or none', () => {
    expect(() => fallback({})).toThrow('Expected a `store` or a `default`, got neither')
    expect(() => fallback({ store: memoryStore() })).toThrow('Expected `store` and `key` together')
    expect(() => fallback({ default: 1, limit: -1 })).toThrow('Expected `limit`')
    const guarded = fallback({ default: 1 })
    expect(() => guarded.update({ limit: 3, timeoutMs: 0 })).toThrow('Expected `timeoutMs`')
    expect(guarded.snapshot().limit).toBe(10)
    guarded.update({ limit: 3 })
    expect(guarded.snapshot()).toMatchObject({ limit: 3, timeoutMs: 50 })
    guarded.reset()
  })
})
