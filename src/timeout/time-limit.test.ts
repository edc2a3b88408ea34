import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { checkLimit, TimeLimit } from './time-limit.ts'

/** What a call that begins now and does not end is told when its time has come, and when that is. */
async function expiry(limit: TimeLimit, timeoutMs?: number): Promise<{ at: number; reason: unknown }> {
  const clock = manualClock({ startMs: 0 })
  const context = createContext({ clock, timeoutMs })
  const { signal } = limit.within(context, limit.end(context, 0) as number)
  let at = Number.NaN
  signal.addEventListener('abort', () => {
    at = clock.now()
  })
  await clock.advance(1000)
  return { at, reason: signal.reason }
}

describe('TimeLimit', () => {
  it('ends with its own limit or with what the parent leaves, whichever comes first', () => {
    const clock = manualClock({ startMs: 0 })
    const limit = new TimeLimit('t', 100, { reserveMs: 5 }, true)
    const ends = [undefined, 106, 105, 104].map(timeoutMs =>
      limit.end(createContext({ clock, timeoutMs }), 0),
    )
    expect(ends).toEqual([100, 100, 100, 99])
    expect(limit.end(createContext({ clock, timeoutMs: 200 }), 150)).toBe(195)
  })

  it('refuses what has less than a useful time left, and only that', () => {
    const clock = manualClock({ startMs: 0 })
    const limit = new TimeLimit('t', 100, { reserveMs: 5, minUsefulMs: 20 }, false)
    const context = createContext({ clock, timeoutMs: 50 })
    expect(limit.end(context, 25)).toBe(45)
    const refused = { policy: 't', reason: 'deadline-exceeded', begun: false, retry: 'never' }
    expect(limit.end(context, 25.5)).toMatchObject({
      ...refused,
      message: '[deadline-exceeded] refused by t: 19 ms left',
    })
    expect(limit.end(context, 90)).toMatchObject({
      message: '[deadline-exceeded] refused by t: 0 ms left',
    })
    const usual = new TimeLimit('t', 100, {}, false)
    expect(usual.end(context, 49)).toBe(50)
    expect(usual.end(context, 49.5)).toMatchObject(refused)
  })

  it('leaves a context alone that ends no later anyway', () => {
    const context = createContext({ clock: manualClock({ startMs: 0 }), timeoutMs: 50 })
    const limit = new TimeLimit('t', 100, {}, true)
    expect(limit.within(context, 50)).toBe(context)
    const shorter = limit.within(context, 49)
    expect(shorter).not.toBe(context)
    expect([shorter.deadline, context.deadline]).toEqual([49, 50])
  })

  it('says that another try is worth it only where one attempt, not the call, ran out', async () => {
    const whole = await expiry(new TimeLimit('t', 30, {}, true))
    expect(whole).toMatchObject({ at: 30, reason: { policy: 't', retry: 'never', begun: true } })
    const attempt = await expiry(new TimeLimit('t', 30, {}, false))
    expect(attempt).toMatchObject({
      at: 30,
      reason: { reason: 'deadline-exceeded', policy: 't', retry: 'later', retryAfterMs: 0, begun: true },
    })
    expect((attempt.reason as Error).message).toBe('[deadline-exceeded] refused by t: after 30 ms')
  })

  it('says that the whole call ran out where the reserve began, even of an attempt', async () => {
    const limit = new TimeLimit('t', 30, { reserveMs: 5 }, false)
    const { at, reason } = await expiry(limit, 35)
    expect([at, (reason as Error).message]).toEqual([
      30,
      '[deadline-exceeded] refused by t: 5 ms before the end of the whole call',
    ])
    expect(reason).toMatchObject({ retry: 'never', begun: true })
    expect((await expiry(limit, 36)).reason).toMatchObject({ retry: 'later' })
  })

  it('takes limits above 0 that a timer can hold', () => {
    expect(checkLimit('ms', 2 ** 31 - 1)).toBe(2 ** 31 - 1)
    expect(checkLimit('ms', 0.5)).toBe(0.5)
    for (const bad of [0, -1, 2 ** 31, Number.NaN, '1']) expect(() => checkLimit('ms', bad)).toThrow(/`ms`/)
    expect(() => new TimeLimit('t', 1, { reserveMs: -1 }, true)).toThrow(/`reserveMs`/)
    expect(() => new TimeLimit('t', 1, { minUsefulMs: -1 }, true)).toThrow(/`minUsefulMs`/)
  })
})
