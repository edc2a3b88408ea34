import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Alarm } from '../core/clock.ts'
import { manualClock } from './manual-clock.ts'

function alarm(ring: () => void): Alarm {
  return { at: 0, keepAlive: false, next: undefined, previous: undefined, ring }
}

afterEach(() => {
  vi.useRealTimers()
})

describe('manualClock', () => {
  it('stands still until it is moved', async () => {
    const clock = manualClock({ startMs: 100 })
    await clock.flush()
    expect(clock.now()).toBe(100)
    await clock.advance(2.5)
    expect(clock.now()).toBe(102.5)
    expect(manualClock().now()).toBe(1_000_000)
  })

  it('rings each alarm at its own time, in order, the first armed first among equals', async () => {
    const clock = manualClock({ startMs: 0 })
    const log: string[] = []
    for (const [name, at] of Object.entries({ c: 30, a: 10, b1: 20, b2: 20, late: 31 })) {
      clock.arm(
        alarm(() => log.push(`${name} at ${clock.now()}`)),
        at,
      )
    }
    await clock.advance(30)
    expect(log).toEqual(['a at 10', 'b1 at 20', 'b2 at 20', 'c at 30'])
    expect(clock.armed).toBe(1)
  })

  it('lets what an alarm sets off run to a standstill before the next', async () => {
    const clock = manualClock({ startMs: 0 })
    const log: string[] = []
    const several = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await undefined
      await new Promise<void>(resolve => process.nextTick(resolve))
      log.push('all of it')
    }
    clock.arm(
      alarm(() => void several()),
      10,
    )
    clock.arm(
      alarm(() => log.push('next')),
      10,
    )
    await clock.advance(10)
    expect(log).toEqual(['all of it', 'next'])
  })

  it('rings what an alarm arms within the same stretch of time', async () => {
    const clock = manualClock({ startMs: 0 })
    let rings = 0
    const again: Alarm = alarm(() => {
      rings++
      clock.arm(again, clock.now() + 10)
    })
    clock.arm(again, 10)
    await clock.advance(95)
    expect(rings).toBe(9)
    clock.disarm(again)
    expect(clock.armed).toBe(0)
  })

  it('rings late what fell due during a jump', async () => {
    const clock = manualClock({ startMs: 0 })
    const times: number[] = []
    clock.arm(
      alarm(() => times.push(clock.now())),
      10,
    )
    clock.jump(50)
    expect(times).toEqual([])
    await clock.advance(0)
    expect(times).toEqual([50])
  })

  it('never goes back', async () => {
    const clock = manualClock({ startMs: 0 })
    clock.arm(
      alarm(() => clock.jump(100)),
      5,
    )
    await clock.advance(10)
    expect(clock.now()).toBe(105)
    await Promise.all([clock.advance(10), clock.advance(20)])
    expect(clock.now()).toBe(125)
  })

  it('says so when time cannot go on', async () => {
    const clock = manualClock({ startMs: 0 })
    const stuck: Alarm = alarm(() => clock.arm(stuck, clock.now()))
    clock.arm(stuck, 1)
    await expect(clock.advance(1)).rejects.toThrow('Time stands still at 1')
  })

  it('holds an alarm once, and forgets one that is disarmed', async () => {
    const clock = manualClock({ startMs: 0 })
    const ring = vi.fn()
    const one = alarm(ring)
    clock.arm(one, 10)
    clock.arm(one, 20)
    expect(clock.armed).toBe(1)
    await clock.advance(15)
    expect(ring).not.toHaveBeenCalled()
    clock.disarm(one)
    clock.disarm(one)
    await clock.advance(15)
    expect(ring).not.toHaveBeenCalled()
  })

  it('rings one alarm in the turn of another that it was swapped for', async () => {
    const clock = manualClock({ startMs: 0 })
    const log: string[] = []
    const [one, two, three, four] = ['one', 'two', 'three', 'four'].map(name => alarm(() => log.push(name)))
    clock.arm(one!, 10)
    clock.arm(two!, 10)
    clock.swap!(one!, three!)
    clock.swap!(one!, four!)
    await clock.advance(10)
    expect(log).toEqual(['three', 'two'])
    expect(three!.at).toBe(10)
  })

  it('keeps an alarm for a time that never comes', async () => {
    const clock = manualClock({ startMs: 0 })
    const ring = vi.fn()
    clock.arm(alarm(ring), Infinity)
    const soon = vi.fn()
    clock.arm(alarm(soon), 5)
    await clock.advance(1e12)
    expect(ring).not.toHaveBeenCalled()
    expect(soon).toHaveBeenCalledOnce()
    expect(clock.armed).toBe(1)
  })

  it('works while a test fakes timers as well', async () => {
    vi.useFakeTimers()
    const clock = manualClock({ startMs: 0 })
    await clock.advance(10)
    expect(clock.now()).toBe(10)
  })

  it('refuses what is no time', async () => {
    expect(() => manualClock({ startMs: -1 })).toThrow('Expected `startMs` to be a number from 0 up, got -1')
    await expect(manualClock().advance(Number.NaN)).rejects.toThrow('Expected `ms`')
    expect(() => manualClock().jump(-1)).toThrow('Expected `ms`')
  })
})
