import { describe, expect, expectTypeOf, it } from 'vitest'
import { currentContext, withContext } from '../core/ambient.ts'
import { collectAnswerFields, degradedParts, markDegraded } from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { type Context, createContext, openContext } from '../core/context.ts'
import { bulkhead } from '../isolation/bulkhead.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { assemble } from './assemble.ts'
import { degraded } from './events.ts'
import { fallback } from './fallback.ts'
import { memoryStore } from './memory-store.ts'
import { switches } from './switches.ts'

const hangs = () => new Promise<never>(() => {})
const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

describe('assemble', () => {
  it('asks all modules at the same time and puts their answers together', async () => {
    const asked: string[] = []
    const page = assemble({
      required: {
        product: async (id: string) => {
          asked.push('product')
          return { id, price: 3 }
        },
      },
      optional: {
        reviews: {
          handler: async (id: string) => {
            asked.push('reviews')
            return [`good ${id}`]
          },
        },
      },
    })
    const answer = page('7')
    expect(asked).toEqual(['product', 'reviews'])
    expect(await answer).toEqual({
      data: { product: { id: '7', price: 3 }, reviews: ['good 7'] },
      missing: [],
      degraded: [],
    })
    expectTypeOf(await answer).toExtend<{
      data: { product: { id: string; price: number }; reviews?: string[] }
      missing: readonly 'reviews'[]
    }>()
    expectTypeOf((await answer).data.product.price).toEqualTypeOf<number>()
    expect(page.snapshot()).toMatchObject({ pages: 1, failed: 0, modules: { reviews: { fresh: 1 } } })
  })

  it('names what is missing, in the answer, in x-degraded and to whoever listens', async () => {
    const error = new Error('down')
    const heard: unknown[] = []
    const stop = degraded.on(event => heard.push(event))
    const page = assemble({
      name: 'home',
      optional: {
        news: async () => 'news',
        ads: () => {
          throw error
        },
      },
    })
    const { context, fields } = collectAnswerFields(createContext())
    expect(await page(undefined, context)).toEqual({ data: { news: 'news' }, missing: ['ads'], degraded: [] })
    stop()
    expect(fields.get('x-degraded')).toBe('ads')
    expect(degradedParts(context)).toEqual([{ part: 'ads', source: 'missing' }])
    expect(heard).toEqual([{ policy: 'home', part: 'ads', source: 'missing', ageMs: undefined, error }])
  })

  it('answers before its deadline without what has not come', async () => {
    const clock = manualClock()
    const ended: unknown[] = []
    const page = assemble({
      reserveMs: 30,
      optional: {
        quick: async () => 'here',
        slow: async (_: unknown, context: Context) => {
          await new Promise<void>(resolve => context.signal.addEventListener('abort', () => resolve()))
          ended.push(context.signal.reason)
        },
        deaf: hangs,
      },
    })
    let answer: unknown
    void page(undefined, createContext({ clock, timeoutMs: 200 })).then(value => {
      answer = value
    })
    await clock.advance(169)
    expect(answer).toBeUndefined()
    await clock.advance(1)
    expect(answer).toEqual({ data: { quick: 'here' }, missing: ['slow', 'deaf'], degraded: [] })
    expect(ended).toMatchObject([{ reason: 'deadline-exceeded' }])
    expect(clock.armed).toBe(0)
  })

  it('calls no module when nothing is left of its time but the reserve', async () => {
    const clock = manualClock()
    let called = 0
    const module = async () => ++called
    const page = assemble({ optional: { bare: module, timed: { handler: module, timeoutMs: 50 } } })
    const answer = page('page', createContext({ clock, timeoutMs: 20 }))
    await clock.flush()
    expect(await answer).toMatchObject({ data: {}, missing: ['bare', 'timed'] })
    expect(called).toBe(0)
    const needed = assemble({ required: { bare: module } })('page', createContext({ clock, timeoutMs: 20 }))
    await expect(needed).rejects.toMatchObject({ reason: 'deadline-exceeded' })
    expect(called).toBe(0)
  })

  it('gives each module its own time, and its fallback time after that', async () => {
    const clock = manualClock()
    const store = memoryStore()
    let works = true
    const page = assemble({
      optional: {
        reviews: {
          handler: async (id: string) => (works ? `reviews of ${id}` : hangs()),
          timeoutMs: 50,
          fallback: fallback({ store, key: id => id as string }),
        },
        // It has no time of its own, so the page's is shortened by what its fallback needs.
        ads: { handler: hangs, fallback: fallback({ default: 'house ads' }) },
      },
      fallbackMs: 40,
      reserveMs: 10,
    })
    const first = page('7', createContext({ clock, timeoutMs: 200 }))
    await clock.advance(150)
    expect(await first).toMatchObject({ data: { reviews: 'reviews of 7', ads: 'house ads' } })
    works = false
    const { context, fields } = collectAnswerFields(createContext({ clock, timeoutMs: 200 }))
    const second = page('7', context)
    await clock.advance(150)
    expect(await second).toEqual({
      data: { reviews: 'reviews of 7', ads: 'house ads' },
      missing: [],
      degraded: [
        { part: 'reviews', source: 'stale', ageMs: 200 },
        { part: 'ads', source: 'default' },
      ],
    })
    expect(fields.get('x-degraded')).toBe('reviews, ads')
    expect(page.snapshot().modules).toMatchObject({
      reviews: { fresh: 1, degraded: 1 },
      ads: { degraded: 2 },
    })
    expect(clock.armed).toBe(0)
  })

  it('fails at once when a required module fails, with its error, and cancels the others', async () => {
    const error = new Error('no product')
    const seen: Context[] = []
    const page = assemble({
      required: {
        product: async () => {
          throw error
        },
      },
      optional: {
        reviews: (_: unknown, context: Context) => {
          seen.push(context)
          return hangs()
        },
      },
    })
    const { context, fields } = collectAnswerFields(createContext())
    expect(await settled(page(undefined, context))).toBe(error)
    expect(seen[0]!.ended).toBe(true)
    expect(fields.size).toBe(0)
    expect(page.snapshot()).toMatchObject({ pages: 1, failed: 1, modules: { reviews: { missing: 0 } } })
  })

  it('stops with its caller', async () => {
    const { context, cancel } = openContext()
    const page = assemble({ optional: { reviews: hangs } })
    const answer = settled(page(undefined, context))
    cancel('gone')
    expect(await answer).toBe('gone')
    expect(await settled(page(undefined, context))).toBe('gone')
  })

  it('does not call a module that is switched off', async () => {
    const features = switches({ reviews: {}, ads: {} })
    let calls = 0
    const handler = async () => ++calls
    const page = assemble({
      optional: {
        reviews: { handler, off: (_: unknown, context: Context) => !features.isOn('reviews', context) },
        ads: { handler, off: () => true, fallback: fallback({ default: 0 }) },
      },
    })
    features.set('reviews', { level: 1 })
    expect(await page()).toMatchObject({
      data: { ads: 0 },
      missing: ['reviews'],
      degraded: [{ part: 'ads' }],
    })
    features.clear('reviews')
    expect(await page()).toMatchObject({ data: { reviews: 1, ads: 0 }, missing: [] })
  })

  it('tells of what a module itself had to do without', async () => {
    const page = assemble({
      optional: {
        reviews: async (_: unknown, context: Context) => {
          markDegraded(context, 'ratings')
          return 'reviews'
        },
      },
    })
    const { context, fields } = collectAnswerFields(createContext())
    expect(await page(undefined, context)).toEqual({
      data: { reviews: 'reviews' },
      missing: [],
      degraded: [{ part: 'reviews/ratings', source: 'missing' }],
    })
    expect(fields.get('x-degraded')).toBe('reviews/ratings')
  })

  it('nests, is protected like any handler, and protects its modules', async () => {
    const reviews = assemble({
      optional: {
        list: async () => 'list',
        ratings: async (): Promise<number> => {
          throw new Error('down')
        },
      },
    })
    const limited = bulkhead({ limit: 1 })
    const page = chain(limited)(
      assemble({ optional: { reviews, ads: bulkhead({ limit: 1 })(async () => 'ads') } }),
    )
    expect(await page()).toMatchObject({
      data: { reviews: { data: { list: 'list' }, missing: ['ratings'] }, ads: 'ads' },
      degraded: [{ part: 'reviews/ratings', source: 'missing' }],
    })
    expect(limited.snapshot()).toMatchObject({ admitted: 1, active: 0 })
  })

  it('hands each module its own context, the ambient one too', async () => {
    const seen: unknown[] = []
    const module = async (_: unknown, context: Context) => {
      seen.push(currentContext() === context, context.tenant)
    }
    const page = assemble({ optional: { a: module, b: { handler: module, timeoutMs: 10 } } })
    await withContext(createContext({ tenant: 'blue' }), () => page())
    expect(seen).toEqual([true, 'blue', true, 'blue'])
  })

  it('checks its options, all or none', () => {
    const call = async () => 1
    expect(() => assemble({ required: { a: call }, optional: { a: call } })).toThrow(
      'got `a` as required and as optional',
    )
    expect(() => assemble({ optional: { a: { handler: call, timeoutMs: 0 } } })).toThrow(
      'Expected `a.timeoutMs`',
    )
    expect(() => assemble({ optional: { a: { handler: call, timeout: 1 } as never } })).toThrow(
      'The module a has no option `timeout`',
    )
    const page = assemble({ optional: { a: call } })
    expect(() => page.update({ reserveMs: 5, fallbackMs: -1 })).toThrow('Expected `fallbackMs`')
    expect(page.snapshot().reserveMs).toBe(20)
    page.update({ reserveMs: 5 })
    expect(page.snapshot()).toMatchObject({ reserveMs: 5, fallbackMs: 50 })
    page.reset()
    expect(page.kind).toBe('assemble')
  })
})
