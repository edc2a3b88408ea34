import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Use } from '../internal/use.ts'
import { bbr, bbrLimit } from './bbr.ts'
import { type ShedCall, shedCall } from './call.ts'

/** go-kratos/aegis, ratelimit/bbr: maxInFlight and shouldDrop, in its own words; with the cool-down from the last drop. */
class Published {
  cpu = 0
  inFlight = 0
  prevDropTime = -Infinity
  passes: { at: number; ms: number }[] = []

  maxInFlight(now: number): number {
    const buckets = new Map<number, number[]>()
    const present = Math.floor(now / 100)
    for (const { at, ms } of this.passes) {
      const bucket = Math.floor(at / 100)
      if (bucket >= present || bucket <= present - 100) continue
      buckets.set(bucket, [...(buckets.get(bucket) ?? []), ms])
    }
    if (buckets.size === 0) return Infinity
    const maxPass = Math.max(...Array.from(buckets.values(), times => times.length))
    const minRt = Math.min(
      ...Array.from(buckets.values(), times => times.reduce((a, b) => a + b, 0) / times.length),
    )
    return Math.floor((maxPass * minRt * 10) / 1_000 + 0.5)
  }

  shouldDrop(now: number): boolean {
    const overloaded = this.inFlight > 1 && this.inFlight > this.maxInFlight(now)
    if (this.cpu < 0.8) return now - this.prevDropTime <= 1_000 && overloaded
    return overloaded
  }
}

test('decides as published while the processor is calm between bursts', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ offer: fc.integer({ min: 1, max: 8 }) }),
          fc.record({ finish: fc.integer({ min: 1, max: 5 }) }),
          fc.record({ wait: fc.integer({ min: 1, max: 400 }) }),
        ),
        { maxLength: 120 },
      ),
      steps => {
        // Hot from the start, so that no calm minimum is remembered.
        const model = new Published()
        model.cpu = 1
        const shedder = bbr({ cpu: () => model.cpu, loop: () => 0 })
        const open: ShedCall[] = []
        let now = 10_000
        for (const step of steps) {
          if ('wait' in step) now += step.wait
          else if ('offer' in step) {
            for (let i = 0; i < step.offer; i++) {
              const call = shedCall()
              const verdict = shedder.offer(call, now)
              expect(verdict).toBe(model.shouldDrop(now) ? 'limit' : 'run')
              if (verdict === 'run') {
                model.inFlight++
                open.push(call)
              } else model.prevDropTime = now
            }
          } else {
            for (const call of open.splice(0, step.finish)) {
              model.inFlight--
              model.passes.push({ at: now, ms: now - call.startedAt })
              call.success(now)
            }
          }
        }
      },
    ),
  )
})

test("the limit is Little's law", () => {
  expect(bbrLimit(100, 10, 10)).toBe(10)
  expect(bbrLimit(100, 0.4, 10)).toBe(0)
  expect(bbrLimit(7, 25, 10)).toBe(2)
})

/** Serves `rate` calls of `ms` in each of so many buckets of 100 ms; at most `rate` are ever in flight. */
function serve(
  shedder: ReturnType<typeof bbr>,
  from: number,
  buckets: number,
  rate: number,
  ms: number,
  how: 'success' | 'ignore' = 'success',
): number {
  for (let b = 0; b < buckets; b++) {
    for (let i = 0; i < rate; i++) {
      const at = from + b * 100 + i * (100 / rate)
      const call = shedCall()
      if (shedder.offer(call, at) === 'run') call[how](at + ms)
    }
  }
  return from + buckets * 100
}

/** How many of `n` calls that come together are let in; they are all over `ms` later. */
function burst(shedder: ReturnType<typeof bbr>, at: number, n: number, ms = 1): number {
  const calls = Array.from({ length: n }, () => shedCall()).filter(call => shedder.offer(call, at) === 'run')
  for (const call of calls) call.success(at + ms)
  return calls.length
}

describe('traps of the original', () => {
  test('cold start: before the first bucket is full nobody is refused', () => {
    const shedder = bbr({ cpu: () => 1, loop: () => 1 })
    expect(burst(shedder, 1_000, 500)).toBe(500)
  })

  test('a processor that is not busy refuses nobody', () => {
    const shedder = bbr({ cpu: () => 0.79, loop: () => 0.9 })
    serve(shedder, 0, 20, 10, 5)
    expect(burst(shedder, 2_050, 500)).toBe(500)
  })

  test('one busy thread on a machine of many processors is noticed by its event loop', () => {
    const shedder = bbr({ cpu: () => 0.3, loop: () => 1 })
    serve(shedder, 0, 20, 10, 30)
    expect(burst(shedder, 2_050, 500)).toBeLessThan(10)
  })

  test('poisoning: a window that holds nothing but slow buckets does not raise the limit', () => {
    let use = 0
    const shedder = bbr({ cpu: () => use, loop: () => 0 })
    let now = serve(shedder, 0, 20, 20, 10)
    const calm = shedder.snapshot().minRtMs
    use = 1
    now = serve(shedder, now, 300, 20, 80)
    expect(shedder.snapshot().minRtMs).toBe(calm)
    expect(burst(shedder, now + 50, 500)).toBeLessThanOrEqual(4)
  })

  test('once it is calm again the window is believed again', () => {
    let use = 1
    const shedder = bbr({ cpu: () => use, loop: () => 0 })
    let now = serve(shedder, 0, 20, 20, 10)
    use = 0
    now = serve(shedder, now, 150, 20, 40)
    serve(shedder, now, 1, 20, 40)
    expect(shedder.snapshot().minRtMs).toBeCloseTo(40)
  })

  test('errors that come at once do not lower the limit', () => {
    const shedder = bbr({ cpu: () => 1, loop: () => 0 })
    const now = serve(shedder, 0, 20, 10, 50)
    const { limit } = shedder.snapshot()
    serve(shedder, now, 20, 3, 0.1, 'ignore')
    expect(shedder.snapshot().limit).toBe(limit)
  })

  test('the cool-down runs from the last refusal, not from the first', () => {
    let use = 1
    const shedder = bbr({ cpu: () => use, loop: () => 0 })
    let now = serve(shedder, 0, 20, 10, 20)
    for (let i = 0; i < 30; i++) {
      now += 100
      expect(burst(shedder, now, 50, 20)).toBeLessThan(50)
    }
    use = 0
    expect(burst(shedder, now + 900, 50, 20)).toBeLessThan(50)
    expect(burst(shedder, now + 2_500, 50, 20)).toBe(50)
  })
})

describe('readings', () => {
  test('of the half of a processor that a container leaves, half a processor is all', () => {
    let usedMs = 0
    const quota = new Use(() => usedMs, 0.5, 100, 1_000)
    const whole = new Use(() => usedMs, 1, 100, 1_000)
    const limited = bbr({ cpu: now => quota.read(now), loop: () => 0 })
    const misread = bbr({ cpu: now => whole.read(now), loop: () => 0 })
    for (let now = 0; now < 5_000; now += 100) {
      usedMs += 50
      serve(limited, now, 1, 10, 20)
      serve(misread, now, 1, 10, 20)
    }
    expect(limited.snapshot().cpu).toBeGreaterThan(0.95)
    expect(burst(limited, 5_050, 200)).toBeLessThan(10)
    // Over the whole machine it looks half idle.
    expect(burst(misread, 5_050, 200)).toBe(200)
  })

  test('full use is noticed within two seconds, not after sixteen', () => {
    let usedMs = 0
    const use = new Use(() => usedMs, 1, 100, 1_000)
    const shedder = bbr({ cpu: now => use.read(now), loop: () => 0 })
    for (let now = 0; now < 2_000; now += 100) {
      serve(shedder, now, 1, 10, 20)
      usedMs += 100
    }
    expect(burst(shedder, 2_050, 200)).toBeLessThan(10)
  })

  test('a process that has gone idle is not taken to be as busy as it last was', () => {
    let usedMs = 0
    const use = new Use(() => usedMs, 1, 100, 1_000)
    const shedder = bbr({ cpu: now => use.read(now), loop: () => 0, coolDownMs: 0 })
    for (let now = 0; now < 5_000; now += 100) {
      serve(shedder, now, 1, 10, 20)
      usedMs += 100
    }
    expect(burst(shedder, 5_050, 200)).toBeLessThan(10)
    expect(burst(shedder, 20_000, 200)).toBe(200)
  })

  test('a clock that has gone far back does not leave the cool-down on for ever', () => {
    let use = 1
    const shedder = bbr({ cpu: () => use, loop: () => 0 })
    serve(shedder, 600_000, 20, 10, 20)
    expect(burst(shedder, 602_050, 200)).toBeLessThan(10)
    use = 0
    expect(burst(shedder, 5_000, 200)).toBe(200)
  })
})

test('reads this process by default', () => {
  const shedder = bbr()
  expect(shedder.offer(shedCall(), performance.now())).toBe('run')
  const { cpu, loop } = shedder.snapshot()
  expect(cpu).toBeGreaterThanOrEqual(0)
  expect(loop).toBeLessThanOrEqual(1)
})

test('settings', () => {
  expect(() => bbr({ buckets: 1 })).toThrow('Expected `buckets` to be a whole number from 2 up, got 1')
  expect(() => bbr({ cpu: 3 } as object)).toThrow('Expected `cpu` to be a function')
  const shedder = bbr({ cpu: () => 1, loop: () => 0 })
  expect(() => shedder.update({ loop: () => 1 })).toThrow('cannot be changed')
  shedder.update({ windowMs: 1_000, buckets: 10, coolDownMs: 5 })
  expect(shedder.snapshot()).toMatchObject({ windowMs: 1_000, coolDownMs: 5 })
  serve(shedder, 0, 5, 10, 20)
  shedder.reset()
  expect(shedder.snapshot()).toMatchObject({ maxPass: 0, minRtMs: Infinity, limit: Infinity, admitted: 0 })
})
