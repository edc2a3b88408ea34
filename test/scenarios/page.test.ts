/** A page of six modules, of which two hang and one fails: on time, with the rest, with old copies where there are. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Metadata } from '@grpc/grpc-js'
import express from 'express'
import { type Context, chain, createContext } from 'spillway'
import { assemble, fallback, memoryStore, singleflight } from 'spillway/degrade'
import { contextOf, protect } from 'spillway/express'
import { fault } from 'spillway/fault'
import { serve } from 'spillway/grpc'
import { bulkhead } from 'spillway/isolation'
import { manualClock } from 'spillway/testing'
import { deadline } from 'spillway/timeout'
import { afterEach, describe, expect, it } from 'vitest'
import type { CatalogServer } from '../grpc/catalog.ts'
import { runCatalog } from '../grpc/running.ts'

type Mood = 'works' | 'hangs' | 'fails'
const names = ['product', 'price', 'stock', 'reviews', 'similar', 'ads'] as const

/** The services behind the page. Two that hang do not even listen to their signal. */
function shop() {
  const moods: Record<(typeof names)[number], Mood> = {
    product: 'works',
    price: 'works',
    stock: 'works',
    reviews: 'works',
    similar: 'works',
    ads: 'works',
  }
  let calls = 0
  const ask = (name: (typeof names)[number]) => async (id: string) => {
    calls++
    if (moods[name] === 'hangs') return new Promise<string>(() => {})
    if (moods[name] === 'fails') throw new Error(`${name} is down`)
    return `${name} of ${id}`
  }
  const places = bulkhead({ limit: 50, name: 'similar', holdUntil: 'answer' })
  const page = assemble({
    required: { product: ask('product'), price: ask('price') },
    optional: {
      stock: ask('stock'),
      reviews: {
        handler: ask('reviews'),
        timeoutMs: 100,
        fallback: fallback({ name: 'reviews', store: memoryStore(), key: id => id as string }),
      },
      similar: {
        handler: chain(singleflight({ key: (id: string) => id }), places)(ask('similar')),
        fallback: fallback<string, string>({ name: 'similar', default: id => `anything but ${id}` }),
      },
      ads: { handler: ask('ads'), timeoutMs: 150 },
    },
    reserveMs: 20,
    fallbackMs: 50,
  })
  return { moods, page, places, calls: () => calls }
}

const broken = { reviews: 'hangs', ads: 'hangs', similar: 'fails' } as const
const whole = Object.fromEntries(names.map(name => [name, `${name} of 7`]))

describe('a page of six modules', () => {
  it('has everything while everything works', async () => {
    expect(await shop().page('7')).toEqual({ data: whole, missing: [], degraded: [] })
  })

  it('is there before its deadline when two hang and one fails, with old copies, defaults and a list of what is missing', async () => {
    const clock = manualClock({ startMs: 0 })
    const { moods, page, places } = shop()
    await page('7', createContext({ clock, timeoutMs: 300 }))
    await clock.advance(5_000)
    Object.assign(moods, broken)
    let answeredAt = Infinity
    const answer = page('7', createContext({ clock, timeoutMs: 300 }))
    void answer.then(() => {
      answeredAt = clock.now()
    })
    await clock.advance(300)
    // The slowest module has 150 ms; nobody waits for the 300 of the page.
    expect(answeredAt).toBe(5_150)
    expect(await answer).toEqual({
      data: {
        product: 'product of 7',
        price: 'price of 7',
        stock: 'stock of 7',
        reviews: 'reviews of 7',
        similar: 'anything but 7',
      },
      missing: ['ads'],
      degraded: [
        { part: 'reviews', source: 'stale', ageMs: 5_100 },
        { part: 'similar', source: 'default' },
      ],
    })
    expect(places.snapshot().active).toBe(0)
    expect(clock.armed).toBe(0)
  })

  it('has no copy of what nobody has asked for before', async () => {
    const clock = manualClock({ startMs: 0 })
    const { moods, page } = shop()
    Object.assign(moods, broken)
    const answer = page('7', createContext({ clock, timeoutMs: 300 }))
    await clock.advance(300)
    expect(await answer).toMatchObject({ missing: ['reviews', 'ads'], degraded: [{ part: 'similar' }] })
    expect(clock.armed).toBe(0)
  })

  it('cannot do without what is required, and says so at once', async () => {
    const { moods, page } = shop()
    Object.assign(moods, broken, { price: 'fails' })
    await expect(page('7')).rejects.toThrow('price is down')
  })

  it('is on time whichever modules hang, whatever time there is', async () => {
    const clock = manualClock({ startMs: 0 })
    for (let hanging = 0; hanging < 2 ** 4; hanging++) {
      for (const timeoutMs of [25, 60, 140, 1_000]) {
        const { moods, page } = shop()
        const optional = ['stock', 'reviews', 'similar', 'ads'] as const
        const chosen = optional.filter((_, i) => hanging & (1 << i))
        for (const name of chosen) moods[name] = 'hangs'
        const since = clock.now()
        let tookMs = Infinity
        const answer = page('7', createContext({ clock, timeoutMs }))
        void answer.then(() => {
          tookMs = clock.now() - since
        })
        await clock.advance(timeoutMs)
        expect(tookMs).toBeLessThanOrEqual(timeoutMs - 20)
        const { data, missing, degraded } = await answer
        const accounted = [...Object.keys(data), ...missing]
        expect(accounted.toSorted()).toEqual([...names].toSorted())
        expect(missing).toEqual(chosen.filter(name => name !== 'similar'))
        expect(degraded.map(({ part }) => part)).toEqual(chosen.filter(name => name === 'similar'))
        expect(clock.armed).toBe(0)
      }
    }
  })
})

describe('the same page over HTTP', () => {
  const closing: (() => void)[] = []
  afterEach(() => {
    for (const close of closing.splice(0)) close()
  })

  it('comes in time, with what is missing in x-degraded', async () => {
    const { moods, page } = shop()
    const app = express()
    app.use(protect(chain(deadline({ totalMs: 2_000 }))))
    app.get('/:id', async (request, response) => {
      response.json(await page(request.params.id, contextOf(request)))
    })
    const server = createServer(app).listen(0)
    closing.push(() => {
      server.closeAllConnections()
      server.close()
    })
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/7`
    const before = await fetch(url)
    expect(await before.json()).toMatchObject({ data: whole })
    expect(before.headers.get('x-degraded')).toBeNull()
    Object.assign(moods, broken)
    const after = await fetch(url)
    expect(after.status).toBe(200)
    expect(await after.json()).toMatchObject({
      missing: ['ads'],
      degraded: [{ part: 'reviews' }, { part: 'similar' }],
    })
    expect(after.headers.get('x-degraded')).toBe('reviews, similar, ads')
  })
})

it('the same page over gRPC says in a trailer what it does without', async () => {
  const { moods, page } = shop()
  const getItem = async ({ id }: { id: number }, context: Context) => {
    const { data } = await page(String(id), context)
    return { id, name: Object.keys(data).join(' ') }
  }
  const use = chain(deadline({ totalMs: 2_000 }))
  const catalog = await runCatalog(serve<CatalogServer>({ getItem } as never, { use }))
  const ask = () =>
    new Promise<{ name: string | undefined; degraded: unknown }>(resolve => {
      let name: string | undefined
      const call = catalog.generated.getItem({ id: 7 }, new Metadata(), (_error, item) => {
        name = item?.name
      })
      call.on('status', ({ metadata }) => resolve({ name, degraded: metadata.get('x-degraded') }))
    })
  try {
    expect(await ask()).toEqual({ name: names.join(' '), degraded: [] })
    Object.assign(moods, broken)
    const { name, degraded } = await ask()
    expect(name).toBe('product price stock reviews similar')
    expect(String(degraded).split(/, ?/)).toEqual(['reviews', 'similar', 'ads'])
  } finally {
    catalog.stop()
  }
})

it('faults can be put into one module of a page, and taken out, while it runs', async () => {
  const chaos = fault({ rules: [{ percent: 100, abort: 'elsewhere', tenants: ['test'] }] })
  const page = assemble({
    optional: {
      ads: chaos(async (_: unknown, context: Context) => `ads for ${context.tenant}`),
      news: async () => 'news',
    },
  })
  const [test, live] = ['test', 'live'].map(tenant => createContext({ tenant }))
  expect((await page(undefined, test)).missing).toEqual([])
  chaos.update({ enabled: true })
  expect(await page(undefined, test)).toMatchObject({ data: { news: 'news' }, missing: ['ads'] })
  expect((await page(undefined, live)).missing).toEqual([])
  chaos.update({ enabled: false })
  expect((await page(undefined, test)).missing).toEqual([])
})
