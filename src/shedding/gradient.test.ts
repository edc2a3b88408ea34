import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { shedCall } from './call.ts'
import { gradient, gradientStep } from './gradient.ts'

/** Netflix concurrency-limits, Gradient2Limit._update from the gradient on, in its own words. */
function published(estimatedLimit: number, longRtt: number, shortRtt: number): number {
  const tolerance = 1.5
  const smoothing = 0.2
  const queueSize = 4
  const gradient = Math.max(0.5, Math.min(1.0, (tolerance * longRtt) / shortRtt))
  let newLimit = estimatedLimit * gradient + queueSize
  newLimit = estimatedLimit * (1 - smoothing) + newLimit * smoothing
  return newLimit
}

test('moves as published', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 1_000, noNaN: true }),
      fc.double({ min: 0.01, max: 1_000, noNaN: true }),
      fc.double({ min: 0.01, max: 1_000, noNaN: true }),
      (limit, long, short) => {
        const options = { toleranceRatio: 1.5, queue: 4, smoothingRatio: 0.2 }
        expect(gradientStep(limit, long, short, options)).toBeCloseTo(published(limit, long, short), 9)
      },
    ),
  )
})

/**
 * Gradient2Limit._update with its ExpAvgMeasurement(600, 10), in its own words, but for what is mended: no growth by
 * the queue unless the gradient is 1.
 */
class Published {
  estimatedLimit = 20
  value = 0
  sum = 0
  count = 0

  update(rtt: number, inflight: number): number {
    if (this.count < 10) {
      this.count++
      this.sum += rtt
      this.value = this.sum / this.count
    } else {
      const factor = 2 / (600 + 1)
      this.value = this.value * (1 - factor) + rtt * factor
    }
    const longRtt = this.value
    if (longRtt / rtt > 2) this.value *= 0.95
    if (inflight < this.estimatedLimit / 2) return Math.trunc(this.estimatedLimit)
    const gradient = Math.max(0.5, Math.min(1.0, (1.5 * longRtt) / rtt))
    const queueSize = gradient === 1 ? 4 : 0
    const newLimit = this.estimatedLimit * (1 - 0.2) + (this.estimatedLimit * gradient + queueSize) * 0.2
    this.estimatedLimit = Math.max(4, Math.min(200, newLimit))
    return Math.trunc(this.estimatedLimit)
  }
}

test('window after window the limit is that of the published law', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ ms: fc.integer({ min: 1, max: 90 }), inFlight: fc.integer({ min: 1, max: 120 }) }),
        {
          minLength: 1,
          maxLength: 80,
        },
      ),
      windows => {
        const model = new Published()
        const shedder = gradient({ windowMs: 0.5, minSamples: 1 })
        const serve = (at: number, ms: number, inFlight: number): void => {
          const call = shedCall()
          shedder.offer(call, at - ms)
          call.inFlight = inFlight
          call.success(at)
        }
        // The first call opens the first window; from then on each call ends one.
        serve(1_000, windows[0]!.ms, 1)
        for (const [i, { ms, inFlight }] of windows.entries()) {
          serve(1_001 + i, ms, inFlight)
          expect(shedder.snapshot().limit).toBe(model.update(ms, inFlight))
        }
        expect(shedder.snapshot().longMs).toBeCloseTo(model.value, 9)
      },
    ),
    { numRuns: 200 },
  )
})

test('a clock that has gone far back does not keep a window open for ever', () => {
  const shedder = gradient({ initialLimit: 20 })
  for (let s = 600; s < 605; s++) second(shedder, s * 1_000, 10, 30)
  const { limit } = shedder.snapshot()
  for (let s = 0; s < 10; s++) second(shedder, s * 1_000, 10, 60)
  expect(shedder.snapshot().limit).toBeGreaterThan(limit)
})

/** Keeps `inFlight` calls of `ms` going for a second at a time. */
function second(
  shedder: ReturnType<typeof gradient>,
  at: number,
  ms: number,
  inFlight: number,
  how: 'success' | 'dropped' = 'success',
): void {
  for (let t = at; t < at + 1_000; t += 100) {
    const calls = Array.from({ length: inFlight }, () => shedCall()).filter(
      call => shedder.offer(call, t) === 'run',
    )
    for (const call of calls) call[how](t + ms)
  }
}

describe('windows', () => {
  test('the limit rises while calls are as quick as ever, and falls when they are not', () => {
    const shedder = gradient({ initialLimit: 20 })
    for (let s = 0; s < 10; s++) second(shedder, s * 1_000, 10, 30)
    const high = shedder.snapshot().limit
    expect(high).toBeGreaterThan(20)
    for (let s = 10; s < 20; s++) second(shedder, s * 1_000, 60, 40)
    expect(shedder.snapshot().limit).toBeLessThan(high)
  })

  test('a limit that nobody reaches stays', () => {
    const shedder = gradient({ initialLimit: 20 })
    for (let s = 0; s < 20; s++) second(shedder, s * 1_000, 10, 3)
    expect(shedder.snapshot().limit).toBe(20)
  })

  test('a mild overload does not make the limit creep up for ever', () => {
    const shedder = gradient({ initialLimit: 20, maxLimit: 1_000 })
    for (let s = 0; s < 15; s++) second(shedder, s * 1_000, 20, 40)
    const before = shedder.snapshot().limit
    for (let s = 15; s < 60; s++) second(shedder, s * 1_000, 39, 60)
    expect(shedder.snapshot().limit).toBeLessThanOrEqual(before)
  })

  test('a dependency that always times out does not look steady', () => {
    const shedder = gradient({ initialLimit: 20 })
    for (let s = 0; s < 40; s++) second(shedder, s * 1_000, 90, 40, 'dropped')
    expect(shedder.snapshot().limit).toBe(4)
  })

  test('errors that come at once say nothing about how long calls take', () => {
    const shedder = gradient()
    for (let s = 0; s < 12; s++) second(shedder, s * 1_000, 50, 30)
    const { longMs } = shedder.snapshot()
    for (let i = 0; i < 1_000; i++) {
      const call = shedCall()
      shedder.offer(call, 20_000 + i)
      call.ignore(20_000 + i)
    }
    expect(shedder.snapshot().longMs).toBe(longMs)
  })
})

test('the limit stays in its range and finite, whatever comes', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          gap: fc.integer({ min: 0, max: 400 }),
          ms: fc.oneof(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.constantFrom(0, Infinity)),
          how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
        }),
        { maxLength: 300 },
      ),
      calls => {
        const shedder = gradient({ initialLimit: 5, minLimit: 2, maxLimit: 9, minSamples: 1 })
        let now = 0
        for (const { gap, ms, how } of calls) {
          const call = shedCall()
          shedder.offer(call, now)
          call[how](now + ms)
          now += gap
          const { limit } = shedder.snapshot()
          expect(limit).toBeGreaterThanOrEqual(2)
          expect(limit).toBeLessThanOrEqual(9)
        }
      },
    ),
  )
})

test('settings', () => {
  expect(() => gradient({ smoothingRatio: 0 })).toThrow(
    'Expected `smoothingRatio` to be a number above 0 to 1',
  )
  const shedder = gradient({ initialLimit: 100 })
  shedder.update({ maxLimit: 50, initialLimit: 10 })
  expect(shedder.snapshot().limit).toBe(50)
  shedder.reset()
  expect(shedder.snapshot()).toMatchObject({ limit: 10, longMs: 0 })
})
