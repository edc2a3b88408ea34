import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Alarm } from './clock.ts'
import { TimingWheel } from './timing-wheel.ts'

/** The wheel's own constants, from outside: a tick, and a full turn. */
const TICK_MS = 5
const TURN_MS = 512 * TICK_MS

function alarm(ring: () => void, keepAlive = false): Alarm {
  return { at: 0, keepAlive, next: undefined, previous: undefined, ring }
}

describe('the timing wheel', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'queueMicrotask'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const make = (): TimingWheel => new TimingWheel(() => performance.now())

  it('rings within a tick, wherever in a tick its timer was started', () => {
    for (let phase = 0; phase < 5; phase += 0.5) {
      const wheel = make()
      vi.advanceTimersByTime(phase)
      let rang = 0
      const at = wheel.now() + 7.1
      wheel.arm(
        alarm(() => {
          rang = wheel.now()
        }),
        at,
      )
      vi.advanceTimersByTime(30)
      expect(rang - at).toBeGreaterThanOrEqual(0)
      expect(rang - at).toBeLessThanOrEqual(TICK_MS)
    }
  })

  it('keeps an alarm that is more than a full turn away', () => {
    const wheel = make()
    const ring = vi.fn()
    wheel.arm(alarm(ring), wheel.now() + 3 * TURN_MS + 1)
    vi.advanceTimersByTime(3 * TURN_MS)
    expect(ring).not.toHaveBeenCalled()
    vi.advanceTimersByTime(2 * TICK_MS)
    expect(ring).toHaveBeenCalledOnce()
    expect(wheel.armed).toBe(0)
  })

  it('rings what is already due at the next tick', () => {
    const wheel = make()
    const ring = vi.fn()
    wheel.arm(alarm(ring), wheel.now() - 1_000)
    wheel.arm(alarm(ring), -Infinity)
    expect(ring).not.toHaveBeenCalled()
    vi.advanceTimersByTime(TICK_MS)
    expect(ring).toHaveBeenCalledTimes(2)
  })

  it('holds an alarm for a time that never comes until it is disarmed', () => {
    const wheel = make()
    const never = [Infinity, Number.NaN, Number.MAX_VALUE].map(at => {
      const one = alarm(() => expect.fail('rang'))
      wheel.arm(one, at)
      return one
    })
    vi.advanceTimersByTime(2 * TURN_MS)
    expect(wheel.armed).toBe(3)
    for (const one of never) wheel.disarm(one)
    expect(wheel.armed).toBe(0)
  })

  it('visits everything that is due after a stall longer than a full turn', () => {
    let stall = 0
    const wheel = new TimingWheel(() => performance.now() + stall)
    const ring = vi.fn()
    for (let ms = 0; ms < 2 * TURN_MS; ms += 7) wheel.arm(alarm(ring), wheel.now() + ms)
    const armed = wheel.armed
    stall = 2 * TURN_MS + TICK_MS
    vi.advanceTimersByTime(TICK_MS)
    expect(ring).toHaveBeenCalledTimes(armed)
    expect(wheel.armed).toBe(0)
  })

  it('lets an alarm disarm, and arm again, others that are due in the same moment', () => {
    const wheel = make()
    const log: string[] = []
    const at = wheel.now() + 10
    const later = alarm(() => log.push(`later at ${wheel.now() >= at + 20}`))
    const never = alarm(() => log.push('never'))
    const first = alarm(() => {
      log.push('first')
      wheel.disarm(never)
      wheel.arm(later, at + 20)
    })
    wheel.arm(later, at)
    wheel.arm(never, at)
    wheel.arm(first, at)
    vi.advanceTimersByTime(15)
    expect(log).toEqual(['first'])
    vi.advanceTimersByTime(25)
    expect(log).toEqual(['first', 'later at true'])
    expect(wheel.armed).toBe(0)
  })

  it('rings one alarm in the turn of another that it was swapped for, even while it rings', () => {
    const wheel = make()
    const log: string[] = []
    const at = wheel.now() + 10
    const [one, two, three] = ['one', 'two', 'three'].map(name => alarm(() => log.push(name)))
    wheel.arm(one!, at)
    wheel.arm(two!, at)
    // The last to come is the first to ring.
    const first = alarm(() => {
      log.push('first')
      wheel.swap(two!, three!)
      wheel.swap(first, two!)
    })
    wheel.arm(first, at)
    vi.advanceTimersByTime(15)
    expect(log).toEqual(['first', 'three', 'one'])
    expect(three!.at).toBe(at)
    expect(wheel.armed).toBe(0)
  })

  it('holds an alarm once, though it is armed twice', () => {
    const wheel = make()
    const ring = vi.fn()
    const one = alarm(ring, true)
    wheel.arm(one, wheel.now() + 10)
    wheel.arm(one, wheel.now() + 20)
    expect(wheel.armed).toBe(1)
    vi.advanceTimersByTime(12)
    expect(ring).not.toHaveBeenCalled()
    vi.advanceTimersByTime(15)
    expect(ring).toHaveBeenCalledOnce()
    wheel.disarm(one)
    expect(wheel.armed).toBe(0)
  })

  it('rings the alarms behind one that throws, and lets the process hear of it', () => {
    const wheel = make()
    const ring = vi.fn()
    const at = wheel.now() + 10
    wheel.arm(alarm(ring), at)
    wheel.arm(
      alarm(() => {
        throw new Error('a bug')
      }),
      at,
    )
    const thrown: unknown[] = []
    vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(work => {
      try {
        work()
      } catch (error) {
        thrown.push(error)
      }
    })
    vi.advanceTimersByTime(15)
    expect(ring).toHaveBeenCalledOnce()
    expect(thrown).toEqual([new Error('a bug')])
  })

  it('stops its timer when nothing has been armed for a while, and starts it again', () => {
    const wheel = make()
    wheel.arm(
      alarm(() => {}),
      wheel.now() + 10,
    )
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(1_000)
    expect(vi.getTimerCount()).toBe(0)
    const ring = vi.fn()
    wheel.arm(alarm(ring), wheel.now() + 10)
    vi.advanceTimersByTime(15)
    expect(ring).toHaveBeenCalledOnce()
  })

  it('goes on when fake timers are put in place of real ones, and taken away again', async () => {
    const wheel = make()
    const fake = vi.fn()
    wheel.arm(alarm(fake), wheel.now() + 60_000)
    vi.useRealTimers()
    await new Promise<void>(resolve => wheel.arm(alarm(resolve), wheel.now() + 1))
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const again = vi.fn()
    wheel.arm(alarm(again), wheel.now() + 10)
    vi.advanceTimersByTime(15)
    expect(again).toHaveBeenCalledOnce()
  })
})
