import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/support/overload.ts'
import { FirstCalls } from './first-calls.ts'

function first(timeOf: (inFlight: number) => number, inFlightOf = (i: number) => i + 1): FirstCalls {
  const calls = new FirstCalls()
  for (let i = 0; i < 10; i++) calls.add(timeOf(inFlightOf(i)), inFlightOf(i))
  return calls
}

/** All at once, into a pool. */
const pool = (places: number) => first(inFlight => 20 * Math.ceil(inFlight / places))

describe('the time of an undisturbed call', () => {
  test.each([1, 2, 3, 4])('calls that queue for %d places: what the first took', places => {
    expect(pool(places)).toMatchObject({ queued: true, baseMs: 20 })
  })

  test('a pool that they fill once is no queue', () => {
    expect(pool(10)).toMatchObject({ queued: false, baseMs: 20 })
  })

  test('calls of which each waits for those before it, with work that differs', () => {
    const random = seeded(1)
    let end = 0
    const { queued, baseMs } = first(() => {
      end += 10 + 20 * random()
      return end
    })
    expect(queued).toBe(true)
    expect(baseMs).toBeLessThan(40)
  })

  test('the mean of calls that differ, though not by how many there are', () => {
    let taken = 0
    for (let seed = 1; seed <= 1_000; seed++) {
      const random = seeded(seed)
      const times: number[] = []
      const calls = first(() => {
        times.push(-50 * Math.log(1 - random()))
        return times.at(-1)!
      })
      if (calls.queued) taken++
      else expect(calls.baseMs).toBeCloseTo(times.reduce((sum, ms) => sum + ms) / 10)
    }
    expect(taken).toBeLessThanOrEqual(5)
  })

  test('the mean where all had as many beside them, or took equally long', () => {
    let ms = 0
    expect(
      first(
        () => ++ms,
        () => 3,
      ),
    ).toMatchObject({ queued: false, baseMs: 5.5 })
    expect(first(() => 20)).toMatchObject({ queued: false, baseMs: 20 })
  })

  test('fractions that do not add up exactly are no sign of a queue', () => {
    for (let seed = 1; seed <= 1_000; seed++) {
      const random = seeded(seed)
      const inFlight = 2 + (seed % 30)
      const differing = first(
        () => -50 * Math.log(1 - random()),
        () => inFlight,
      )
      expect(differing.queued).toBe(false)
      const ms = -50 * Math.log(1 - random())
      expect(first(() => ms).queued).toBe(false)
    }
  })
})
