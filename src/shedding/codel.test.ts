import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { shedCall } from './call.ts'
import { codel } from './codel.ts'

/** facebook/folly, Codel::overloaded, in its own words. */
class Published {
  private codelMinDelay = 0
  private codelIntervalTime = -Infinity
  private codelResetDelay = false
  private overloaded_ = false

  overloaded(delay: number, now: number, target: number, interval: number): boolean {
    const minDelay = this.codelMinDelay
    if (now > this.codelIntervalTime && !this.codelResetDelay) {
      this.codelResetDelay = true
      this.codelIntervalTime = now + interval
      this.overloaded_ = minDelay > target
    }
    if (this.codelResetDelay) {
      this.codelResetDelay = false
      this.codelMinDelay = delay
      return false
    }
    if (delay < this.codelMinDelay) this.codelMinDelay = delay
    return this.overloaded_ && delay > 2 * target
  }
}

test('decides as published', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ gap: fc.integer({ min: 0, max: 60 }), delay: fc.integer({ min: 0, max: 40 }) }), {
        maxLength: 200,
      }),
      calls => {
        const model = new Published()
        let delayNow = 0
        const shedder = codel({ targetMs: 8, intervalMs: 100, delayMs: () => delayNow })
        let now = 1_000
        for (const { gap, delay } of calls) {
          now += gap
          delayNow = delay
          const refused = model.overloaded(delay, now, 8, 100)
          expect(shedder.offer(shedCall(), now)).toBe(refused ? 'delay' : 'run')
        }
      },
    ),
    { numRuns: 300 },
  )
})

describe('a wait that lasts', () => {
  const standing = (waitMs: number) => {
    const shedder = codel({ targetMs: 10, intervalMs: 100, delayMs: () => waitMs })
    for (let now = 0; now < 250; now += 10) shedder.offer(shedCall(), now)
    return shedder
  }

  test('below the target nobody is refused, above twice the target everybody is', () => {
    expect(standing(9).offer(shedCall(), 251)).toBe('run')
    expect(standing(21).offer(shedCall(), 251)).toBe('delay')
  })

  test('the less a class matters, the less it may have waited', () => {
    const admitted = (waitMs: number) =>
      (['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] as const).filter(
        criticality => standing(waitMs).offer(shedCall({ criticality }), 251) === 'run',
      )
    expect(admitted(12)).toEqual(['critical-plus', 'critical', 'sheddable-plus'])
    expect(admitted(18)).toEqual(['critical-plus', 'critical'])
    expect(admitted(30)).toEqual(['critical-plus'])
    expect(admitted(41)).toEqual([])
  })

  test('a pause is one long wait, and refuses nobody', () => {
    let waitMs = 0
    const shedder = codel({ targetMs: 10, intervalMs: 100, delayMs: () => waitMs })
    for (let now = 0; now < 1_000; now += 10) {
      waitMs = now >= 500 && now < 580 ? 580 - now : 0
      expect(shedder.offer(shedCall(), now)).toBe('run')
    }
  })

  test('clears as soon as one wait of an interval is short', () => {
    let waitMs = 50
    const shedder = codel({ targetMs: 10, intervalMs: 100, delayMs: () => waitMs })
    for (let now = 0; now < 250; now += 10) shedder.offer(shedCall(), now)
    expect(shedder.isOverloaded(250)).toBe(true)
    expect(shedder.pressure(250)).toBeGreaterThan(0.5)
    waitMs = 0
    for (let now = 250; now < 420; now += 10) expect(shedder.offer(shedCall(), now)).toBe('run')
    expect(shedder.snapshot().overloaded).toBe(false)
  })
})

test('counts what is in flight, once', () => {
  const shedder = codel({ delayMs: () => 0 })
  const call = shedCall()
  shedder.offer(call, 0)
  expect(shedder.snapshot().inFlight).toBe(1)
  call.success(5)
  call.dropped(6)
  expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  expect(shedder.offer(shedCall({ deadline: 7 }), 7)).toBe('late')
})

test('a clock that has gone far back does not keep the interval open for ever', () => {
  const shedder = codel({ delayMs: () => 50 })
  shedder.offer(shedCall(), 600_000)
  for (let now = 0; now < 250; now += 10) shedder.offer(shedCall(), now)
  expect(shedder.offer(shedCall(), 251)).toBe('delay')
})

test('by default it looks at the event loop', () => {
  const shedder = codel({ targetMs: 1, intervalMs: 10 })
  expect(shedder.offer(shedCall(), performance.now())).toBe('run')
  const until = performance.now() + 10_000
  let refused = 0
  while (refused === 0 && performance.now() < until) {
    if (shedder.offer(shedCall(), performance.now()) === 'delay') refused++
  }
  expect(refused).toBeGreaterThan(0)
})

test('settings', () => {
  expect(() => codel({ targetMs: 0 })).toThrow('`targetMs`')
  const shedder = codel({ name: 'door' })
  expect(shedder.name).toBe('door')
  expect(() => shedder.update({ intervalMs: 0, mode: 'off' })).toThrow('`intervalMs`')
  expect(shedder.snapshot()).toMatchObject({ mode: 'enforce', intervalMs: 100 })
  shedder.update({ mode: 'off', delayMs: () => 1_000 })
  for (let now = 0; now < 500; now += 10) expect(shedder.offer(shedCall(), now)).toBe('run')
  shedder.reset()
  expect(shedder.snapshot()).toMatchObject({ admitted: 0, overloaded: false })
})
