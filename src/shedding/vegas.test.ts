import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { shedCall } from './call.ts'
import { vegas, vegasStep } from './vegas.ts'

/** Netflix concurrency-limits, VegasLimit.updateEstimatedLimit without smoothing, in its own words. */
function published(
  estimatedLimit: number,
  rtt_noload: number,
  rtt: number,
  inflight: number,
  didDrop: boolean,
): number {
  const log10 = (limit: number): number => Math.max(1, Math.trunc(Math.log10(limit)))
  const limit = Math.trunc(estimatedLimit)
  const queueSize = Math.ceil(estimatedLimit * (1 - rtt_noload / rtt))
  if (didDrop) return estimatedLimit - log10(limit)
  if (inflight * 2 < estimatedLimit) return estimatedLimit
  const alpha = 3 * log10(limit)
  const beta = 6 * log10(limit)
  const threshold = log10(limit)
  if (queueSize <= threshold) return estimatedLimit + beta
  if (queueSize < alpha) return estimatedLimit + log10(limit)
  if (queueSize > beta) return estimatedLimit - log10(limit)
  return estimatedLimit
}

test('moves as published', () => {
  fc.assert(
    fc.property(
      fc.record({
        limit: fc.integer({ min: 1, max: 1_000 }),
        base: fc.integer({ min: 1, max: 100 }),
        extra: fc.integer({ min: 0, max: 1_000 }),
        inFlight: fc.integer({ min: 1, max: 1_200 }),
        dropped: fc.boolean(),
      }),
      ({ limit, base, extra, inFlight, dropped }) => {
        const ms = base + extra
        expect(vegasStep(limit, base, ms, inFlight, dropped)).toBe(
          published(limit, base, ms, inFlight, dropped),
        )
      },
    ),
    { numRuns: 500 },
  )
})

/** VegasLimit._update, in its own words, but for what is mended: a probe takes the shortest time since the last one. */
class Published {
  estimatedLimit = 20
  noload = 0
  shortest = Infinity
  probeCount = 0

  update(rtt: number, inflight: number, didDrop: boolean): number {
    if (!didDrop) {
      this.shortest = Math.min(this.shortest, rtt)
      this.probeCount++
      if (0.75 * 2 * this.estimatedLimit <= this.probeCount) {
        this.probeCount = 0
        this.noload = this.shortest
        this.shortest = Infinity
        return Math.trunc(this.estimatedLimit)
      }
      if (this.noload === 0 || rtt < this.noload) {
        this.noload = rtt
        return Math.trunc(this.estimatedLimit)
      }
    }
    const limit = published(this.estimatedLimit, this.noload, rtt, inflight, didDrop)
    this.estimatedLimit = Math.max(1, Math.min(1_000, limit))
    return Math.trunc(this.estimatedLimit)
  }
}

test('call after call the limit is that of the published law', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          ms: fc.integer({ min: 1, max: 60 }),
          inFlight: fc.integer({ min: 1, max: 60 }),
          how: fc.constantFrom(
            'success' as const,
            'success' as const,
            'success' as const,
            'dropped' as const,
          ),
        }),
        { maxLength: 200 },
      ),
      calls => {
        const model = new Published()
        const shedder = vegas({ probeMultiplier: 2, random: () => 0.5 })
        for (const [i, { ms, inFlight, how }] of calls.entries()) {
          const call = shedCall()
          shedder.offer(call, 1_000 + i)
          call.inFlight = inFlight
          call[how](1_000 + i + ms)
          expect(shedder.snapshot().limit).toBe(model.update(ms, inFlight, how === 'dropped'))
        }
        expect(shedder.snapshot().baseMs).toBe(model.noload)
      },
    ),
    { numRuns: 300 },
  )
})

function busy(ms: number, at: number, shedder: ReturnType<typeof vegas>): void {
  const calls = Array.from({ length: 10 }, () => shedCall())
  for (const call of calls) shedder.offer(call, at)
  for (const call of calls) call.success(at + ms)
}

describe('learning', () => {
  test('the first call is what a call takes, and quicker ones replace it', () => {
    const shedder = vegas()
    for (const [ms, base] of [
      [10, 10],
      [12, 10],
      [8, 8],
    ] as const) {
      const call = shedCall()
      shedder.offer(call, 0)
      call.success(ms)
      expect(shedder.snapshot().baseMs).toBe(base)
    }
  })

  test('errors that come at once are not the quickest calls', () => {
    const shedder = vegas()
    for (const [ms, how] of [
      [10, 'success'],
      [1, 'ignore'],
      [1, 'dropped'],
    ] as const) {
      const call = shedCall()
      shedder.offer(call, 0)
      call[how](ms)
    }
    expect(shedder.snapshot().baseMs).toBe(10)
  })

  test('each probe is spread anew, so that processes that began together do not probe together for ever', () => {
    let drawn = 0
    const shedder = vegas({
      probeMultiplier: 1,
      random: () => {
        drawn++
        return 0
      },
    })
    for (let i = 0; i < 20; i++) busy(10, i * 1_000, shedder)
    expect(drawn).toBeGreaterThan(2)
  })

  test('a probe under load does not take one slow call for what a call takes', () => {
    const shedder = vegas({ probeMultiplier: 1, random: () => 0 })
    busy(10, 0, shedder)
    for (let i = 1; i < 100; i++) busy(i % 3 === 0 ? 10 : 500, i * 1_000, shedder)
    expect(shedder.snapshot().baseMs).toBe(10)
  })

  test('after a probe a dependency that has become slower is what it is', () => {
    const shedder = vegas({ probeMultiplier: 1, random: () => 0 })
    busy(10, 0, shedder)
    for (let i = 1; i < 100; i++) busy(30, i * 1_000, shedder)
    expect(shedder.snapshot().baseMs).toBe(30)
  })
})

test('the limit stays in its range, whatever comes', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          ms: fc.oneof(fc.double(), fc.constantFrom(0, -5, Infinity, Number.NaN, 1e12)),
          how: fc.constantFrom('success' as const, 'ignore' as const, 'dropped' as const),
        }),
        { maxLength: 200 },
      ),
      calls => {
        const shedder = vegas({ initialLimit: 5, minLimit: 2, maxLimit: 9, random: () => 0.5 })
        for (const { ms, how } of calls) {
          const call = shedCall()
          shedder.offer(call, 1_000)
          call[how](1_000 + ms)
          const { limit, inFlight } = shedder.snapshot()
          expect(limit).toBeGreaterThanOrEqual(2)
          expect(limit).toBeLessThanOrEqual(9)
          expect(inFlight).toBe(0)
        }
      },
    ),
  )
})

test('settings', () => {
  expect(() => vegas({ probeMultiplier: 0 })).toThrow('`probeMultiplier`')
  const shedder = vegas()
  shedder.update({ maxLimit: 20, initialLimit: 10 })
  expect(shedder.snapshot()).toMatchObject({ limit: 20, maxLimit: 20, initialLimit: 10 })
  shedder.reset()
  expect(shedder.snapshot()).toMatchObject({ limit: 10, baseMs: 0 })
})
