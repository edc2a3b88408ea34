import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Heap } from '../internal/heap.ts'
import { type ShedCall, shedCall } from './call.ts'
import { Knee } from './knee.ts'
import { RouteBook } from './route-book.ts'

interface InFlight {
  readonly call: ShedCall
  readonly end: number
  readonly ok: boolean
}

/**
 * Calls that all want to begin at once, through a limit, into a dependency that serves `places` at a time for
 * `serviceMs` each: the closed loop that a limit has to find the knee of.
 */
class Dependency {
  readonly routes = new RouteBook()
  readonly knee = new Knee(this.routes, 4)
  now = 1_000
  /** When each place is free again. */
  private readonly places = new Heap<number>((a, b) => a < b)
  private readonly inFlight = new Heap<InFlight>((a, b) => a.end < b.end)

  constructor(places: number) {
    for (let i = 0; i < places; i++) this.places.push(0)
  }

  /** Serves for `ms`, with at most `demand` calls wanting to be in flight; how many came through. */
  serve(ms: number, demand: number, serviceMs: () => number, errors = 0): number {
    const until = this.now + ms
    let done = 0
    for (; this.now < until; this.now++) {
      while ((this.inFlight.peek()?.end ?? Infinity) <= this.now) {
        const { call, ok } = this.inFlight.pop()!
        this.knee.finished(call, ok ? 'success' : 'ignore', this.now)
        done++
      }
      while (this.inFlight.size < demand) {
        if (this.inFlight.size >= this.knee.limit) {
          this.knee.hold(this.now)
          break
        }
        const call = shedCall()
        call.startedAt = this.now
        call.known = this.routes.get(undefined)
        call.isFirst = call.known.begin(this.now)
        call.inFlight = this.inFlight.size + 1
        const fails = errors > 0 && this.inFlight.size % errors === 0
        const end = fails ? this.now + 1 : Math.max(this.now, this.places.pop()!) + serviceMs()
        if (!fails) this.places.push(end)
        this.inFlight.push({ call, end, ok: !fails })
      }
    }
    return done
  }
}

describe('finding the knee', () => {
  test('before anything is known there is no limit', () => {
    const { knee } = new Dependency(20)
    expect(knee).toMatchObject({ limit: Infinity, reason: 'unknown' })
  })

  test.each([
    [1, 5],
    [20, 20],
    [100, 50],
  ])(
    '%d places of %d ms: the limit settles at up to twice the places, and throughput stays',
    (places, ms) => {
      const pool = new Dependency(places)
      pool.serve(2_000, places / 2, () => ms)
      pool.serve(3_000, 20 * places, () => ms)
      expect(pool.knee.limit).toBeGreaterThanOrEqual(Math.max(4, places))
      expect(pool.knee.limit).toBeLessThanOrEqual(Math.max(4, 2 * places))
      const done = pool.serve(2_000, 20 * places, () => ms)
      expect(done).toBeGreaterThan(0.97 * ((2_000 * places) / ms))
    },
  )

  test('a cold start in the middle of an overload ends there too', () => {
    const pool = new Dependency(20)
    pool.serve(4_000, 200, () => 20)
    expect(pool.knee.limit).toBeLessThanOrEqual(42)
    expect(pool.serve(1_000, 200, () => 20)).toBeGreaterThan(960)
  })

  test('a limit that is too high is cut for calls that take long too', () => {
    const pool = new Dependency(4)
    pool.serve(3_000, 2, () => 150)
    pool.serve(12_000, 128, () => 150)
    expect(pool.knee.limit).toBeLessThanOrEqual(10)
    expect(pool.serve(3_000, 128, () => 150)).toBeGreaterThanOrEqual(76)
  })

  test.each([
    [1, 20],
    [2, 50],
    [4, 100],
  ])('%d places of %d ms that a cold start finds pressed: the base is what one call takes', (places, ms) => {
    const pool = new Dependency(places)
    pool.serve(8_000, 128, () => ms)
    expect(pool.routes.get(undefined).baseMs).toBeLessThan(1.1 * ms)
    expect(pool.knee.limit).toBeLessThanOrEqual(Math.max(4, 3 * places))
  })

  test('what is not pressed has room for a burst', () => {
    const pool = new Dependency(20)
    pool.serve(3_000, 5, () => 20)
    expect(pool.knee).toMatchObject({ limit: 32, reason: 'headroom' })
  })
})

describe('slower, or queueing?', () => {
  test('a pool that takes ten times as long for half a minute keeps nearly its throughput', () => {
    const pool = new Dependency(20)
    pool.serve(3_000, 100, () => 20)
    pool.serve(5_000, 100, () => 200)
    expect(pool.serve(25_000, 100, () => 200)).toBeGreaterThan(0.85 * 2_500)
    pool.serve(2_000, 100, () => 20)
    expect(pool.serve(3_000, 100, () => 20)).toBeGreaterThan(0.97 * 3_000)
    pool.serve(20_000, 1_000, () => 20)
    expect(pool.knee.limit).toBeLessThan(60)
  })

  test('calls that take 25 times as long without queueing get 25 times as many places', () => {
    const wide = new Dependency(10_000)
    wide.serve(3_000, 20, () => 20)
    wide.serve(8_000, 500, () => 500)
    expect(wide.serve(5_000, 500, () => 500)).toBeGreaterThan(0.95 * 5_000)
  })
})

test('errors that come at once do not make the limit any tighter', () => {
  const pool = new Dependency(20)
  pool.serve(3_000, 100, () => 20, 3)
  expect(pool.knee.limit).toBeGreaterThanOrEqual(20)
})

test('a limit that was spoilt by a stall is not cut for it', () => {
  const pool = new Dependency(20)
  pool.serve(2_000, 15, () => 20)
  const { limit } = pool.knee
  pool.now += 500
  pool.knee.stalled(pool.now)
  pool.serve(60, 15, () => 20)
  expect(pool.knee.limit).toBe(limit)
})

test('whatever comes, the limit is a number within its bounds', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          gap: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.constantFrom(-50, 600_000)),
          ms: fc.oneof(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.constantFrom(0, Infinity)),
          inFlight: fc.integer({ min: 1, max: 100 }),
          held: fc.boolean(),
          how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
        }),
        { minLength: 100, maxLength: 400 },
      ),
      calls => {
        const knee = new Knee(new RouteBook(), 4)
        let now = 1_000
        for (const { gap, ms, inFlight, held, how } of calls) {
          now += gap
          const call = shedCall()
          call.startedAt = now - ms
          call.inFlight = inFlight
          if (held) knee.hold(now)
          knee.finished(call, how, now)
          expect(knee.limit).toBeGreaterThanOrEqual(4)
          if (knee.limit !== Infinity) expect(knee.limit).toBeLessThanOrEqual(10_000)
        }
      },
    ),
  )
})

test('a reset forgets, and a new floor holds at once', () => {
  const pool = new Dependency(5)
  pool.serve(3_000, 100, () => 20)
  pool.knee.setMinLimit(30)
  expect(pool.knee.limit).toBe(30)
  pool.knee.reset()
  expect(pool.knee).toMatchObject({ limit: Infinity, reason: 'unknown' })
})

test('a clock that has gone far back does not keep a window open until it has caught up', () => {
  const routes = new RouteBook()
  const knee = new Knee(routes, 4)
  const serve = (from: number): void => {
    for (let now = from; now < from + 300; now += 5) {
      const call = shedCall()
      call.startedAt = now - 10
      call.inFlight = 2
      call.isFirst = routes.get(undefined).begin(call.startedAt)
      knee.finished(call, 'success', now)
    }
  }
  serve(600_000)
  knee.reset()
  const last = shedCall()
  last.startedAt = 599_990
  knee.finished(last, 'success', 600_000)
  serve(5_000)
  expect(knee).toMatchObject({ limit: 32, reason: 'headroom' })
})

test('calls that fail are not among the first, from which it is learnt how long one takes', () => {
  const routes = new RouteBook()
  const knee = new Knee(routes, 4)
  const route = routes.get(undefined)
  for (let i = 0; i < 20; i++) {
    const call = shedCall()
    call.known = route
    call.startedAt = 20 * i
    call.isFirst = route.begin(call.startedAt)
    call.inFlight = 1
    // The first ten fail, and at once.
    if (i < 10) knee.finished(call, i % 2 === 0 ? 'ignore' : 'dropped', call.startedAt + 1)
    else knee.finished(call, 'success', call.startedAt + 10)
  }
  expect(route.baseMs).toBe(10)
})
