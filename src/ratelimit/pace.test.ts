import { describe, expect, it } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { Pace } from './pace.ts'

describe('Pace', () => {
  it('lets everything go until a server says that nothing is left, and then from the reset on', async () => {
    const clock = manualClock()
    const pace = new Pace(clock, 0.5)
    expect([pace.go(), pace.go(), pace.waitMs()]).toEqual([true, true, 0])
    pace.learn([{ remaining: 0, resetMs: 500, quota: 10 }], undefined)
    expect([pace.go(), pace.waitMs(), pace.idle]).toEqual([false, 500, false])
    await clock.advance(499)
    expect(pace.go()).toBe(false)
    await clock.advance(1)
    expect([pace.idle, pace.go(), pace.go()]).toEqual([true, true, false])
  })

  it.each([
    [6, 0, 10, 0],
    [5, 0, 10, 200],
    [6, 2, 10, 250],
    [2, 4, 10, 1000],
    [8, 0, undefined, 125],
  ])(
    'spreads %i left, less %i on their way, of %s over the time to the reset: every %i ms',
    (remaining, inFlight, quota, gapMs) => {
      const pace = new Pace(manualClock(), 0.5)
      pace.inFlight = inFlight
      pace.learn([{ remaining, resetMs: 1000, quota }], undefined)
      expect(pace.go()).toBe(true)
      expect(pace.waitMs()).toBe(gapMs)
    },
  )

  it('follows the limit that asks for most, until an answer says otherwise', () => {
    const pace = new Pace(manualClock(), 0.5)
    const slow = { remaining: 2, resetMs: 1000, quota: 10 }
    const fast = { remaining: 4, resetMs: 400, quota: 10 }
    pace.learn([slow, fast], undefined)
    pace.learn([], undefined)
    pace.go()
    expect(pace.waitMs()).toBe(500)
    pace.learn([], 700)
    pace.learn([], 10)
    expect(pace.waitMs()).toBe(700)
    const other = new Pace(manualClock(), 0.5)
    other.learn([slow], undefined)
    other.learn([fast], undefined)
    other.go()
    expect(other.waitMs()).toBe(100)
  })

  it('serves its line in order, one for each gap, and nobody past it', async () => {
    const clock = manualClock()
    const pace = new Pace(clock, 0.5)
    const start = clock.now()
    pace.learn([{ remaining: 4, resetMs: 400, quota: undefined }], 50)
    const gone: unknown[] = []
    for (const name of ['a', 'b', 'c']) {
      pace.join(createContext({ clock })).then(() => gone.push([name, clock.now() - start]))
    }
    expect([pace.waiting, pace.waitMs()]).toEqual([3, 350])
    await clock.advance(50)
    expect([pace.waiting, pace.go(), pace.waitMs()]).toEqual([2, false, 300])
    // A late timer lets nobody past those who wait for it.
    clock.jump(150)
    expect(pace.go()).toBe(false)
    await clock.advance(1000)
    expect(gone).toEqual([
      ['a', 50],
      ['b', 200],
      ['c', 300],
    ])
    expect([pace.idle, clock.armed]).toEqual([true, 0])
  })

  it('moves everybody up when somebody leaves', async () => {
    const clock = manualClock()
    const pace = new Pace(clock, 0.5)
    const start = clock.now()
    pace.learn([{ remaining: 4, resetMs: 400, quota: undefined }], 50)
    const first = openContext({ clock })
    const left = pace.join(first.context)
    let at: number | undefined
    pace.join(createContext({ clock })).then(() => {
      at = clock.now() - start
    })
    first.cancel('gone')
    await expect(left).rejects.toBe('gone')
    expect(pace.waiting).toBe(1)
    await clock.advance(1000)
    expect(at).toBe(50)
  })
})
