/** What an `adaptive` tells of itself while calls wait, and what settings that come in the middle change at once. */
import { expect, test } from 'vitest'
import { adaptive } from './adaptive.ts'
import { type ShedCall, shedCall } from './call.ts'

/** Calls that wait behind a loop that has been busy. */
function wait(shedder: ReturnType<typeof adaptive>, now: number, n: number, options = {}): ShedCall[] {
  const calls = Array.from({ length: n }, () => shedCall(options))
  for (const call of calls) shedder.offer(call, now, 50)
  return calls
}

test('pressure rises to a half with the time that calls wait, and there is none when none does', () => {
  const shedder = adaptive()
  expect(shedder.pressure(0)).toBe(0)
  wait(shedder, 0, 1)
  expect(shedder.pressure(0)).toBe(0)
  expect(shedder.pressure(50)).toBeCloseTo(0.25)
  expect(shedder.pressure(500)).toBe(0.5)
  expect(shedder.isOverloaded(500)).toBe(false)
  shedder.next(50)
  expect(shedder.pressure(60)).toBe(0)
})

test('a queue that stands is an overload before anybody has been refused', () => {
  const shedder = adaptive()
  const batch = (now: number, calls: number): void => {
    wait(shedder, now, calls)
    shedder.tend(now)
    expect(shedder.isOverloaded(now)).toBe(shedder.snapshot().standing[1])
    for (let i = 0; i < 3; i++) {
      const call = shedder.next(now + 2 * i)
      if (call === undefined) return
      shedder.learnCost(call, 2)
      call.success(now + 2 * i + 2)
    }
  }
  let now = 0
  for (; now < 600; now += 6) batch(now, 1)
  for (; now < 800 && !shedder.snapshot().standing[1]; now += 6) batch(now, 6)
  expect(shedder.snapshot()).toMatchObject({
    standing: [false, true, false, false],
    refused: { wait: 0, expired: 0 },
  })
})

test('a higher floor of the limit holds at once', () => {
  const shedder = adaptive()
  ;(shedder as unknown as { knee: { limit: number } }).knee.limit = 4
  shedder.update({ minLimit: 30 })
  expect(shedder.snapshot().limit).toBe(30)
})

test('so does a higher floor of the classes', () => {
  const served = (floorRatio: number): number => {
    const shedder = adaptive()
    wait(shedder, 0, 50, { criticality: 'critical' })
    wait(shedder, 0, 50, { criticality: 'sheddable' })
    shedder.update({ floorRatio })
    let low = 0
    for (let i = 0; i < 40; i++) if (shedder.next(i / 10)!.importance === 3) low++
    return low
  }
  expect(served(0.05)).toBeLessThanOrEqual(2)
  expect(served(0.25)).toBeGreaterThanOrEqual(7)
})

test('a rate that a stall has spoilt is measured anew', () => {
  const rateAfter = (stalled: boolean): number => {
    const shedder = adaptive()
    wait(shedder, 0, 300)
    let now = 0
    const serve = (): void => {
      for (const until = now + 20; now < until; now++) {
        shedder.tend(now)
        for (let i = 0; i < 10; i++) shedder.next(now)!.success(now)
      }
    }
    for (let i = 0; i < 20; i++) shedder.learnCost(shedder.next(now)!, 0.1)
    serve()
    now += 400
    if (stalled) shedder.stalled(now)
    wait(shedder, now, 200)
    serve()
    return shedder.snapshot().drainRate
  }
  expect(rateAfter(true)).toBeCloseTo(1, 1)
  expect(rateAfter(false)).toBeLessThan(0.6)
})
