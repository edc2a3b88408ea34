import { describe, expect, test } from 'vitest'
import type { Criticality } from '../core/criticality.ts'
import { aimd } from './aimd.ts'
import { type ShedCall, shedCall } from './call.ts'
import { fixed } from './fixed.ts'
import type { Shedder } from './shedder.ts'

/** Offers `n` calls at once; the ones that were let in. */
function offer(shedder: Shedder, n: number, criticality: Criticality, tenant?: string): ShedCall[] {
  return Array.from({ length: n }, () => shedCall({ criticality, tenant })).filter(
    call => shedder.offer(call, 0) === 'run',
  )
}

describe('classes', () => {
  test('the less one matters, the less of the limit it may fill', () => {
    const shedder = fixed({ limit: 20 })
    expect(offer(shedder, 30, 'sheddable')).toHaveLength(16)
    expect(offer(shedder, 30, 'sheddable-plus')).toHaveLength(2)
    expect(offer(shedder, 30, 'critical')).toHaveLength(2)
    expect(offer(shedder, 30, 'critical-plus')).toHaveLength(2)
    expect(shedder.snapshot().inFlight).toBe(22)
  })

  test('one that is always refused is still let in now and then, where there is room', () => {
    const shedder = fixed({ limit: 10 })
    const held = offer(shedder, 10, 'critical')
    let low = 0
    for (let i = 0; i < 400; i++) {
      held.shift()!.success(i)
      const lowly = offer(shedder, 1, 'sheddable')
      low += lowly.length
      held.push(...lowly, ...offer(shedder, 1 - lowly.length, 'critical'))
    }
    expect(low).toBeGreaterThanOrEqual(15)
    expect(low).toBeLessThanOrEqual(25)
  })
})

describe('tenants', () => {
  test('while there is room one may have all of it', () => {
    const shedder = fixed({ limit: 10 })
    expect(offer(shedder, 30, 'critical', 'a')).toHaveLength(10)
  })

  test('one that floods leaves room for the others, who then have their part', () => {
    const shedder = fixed({ limit: 12 })
    const flood = offer(shedder, 9, 'critical', 'flood')
    expect(offer(shedder, 1, 'critical', 'a')).toHaveLength(1)
    expect(offer(shedder, 5, 'critical', 'flood')).toHaveLength(0)
    expect(shedder.snapshot().refused.share).toBe(5)
    expect(offer(shedder, 1, 'critical', 'b')).toHaveLength(1)
    for (const call of flood.splice(0, 6)) call.success(1)
    expect(offer(shedder, 5, 'critical', 'a')).toHaveLength(5)
    expect(offer(shedder, 5, 'critical', 'b')).toHaveLength(2)
    expect(shedder.snapshot().inFlight).toBe(12)
  })

  test('nobody is remembered who has nothing in flight', () => {
    const shedder = fixed({ limit: 1_000 })
    for (let i = 0; i < 500; i++) for (const call of offer(shedder, 1, 'critical', `t${i}`)) call.success(1)
    offer(shedder, 800, 'critical', 'one')
    expect(offer(shedder, 200, 'critical', 'one')).toHaveLength(200)
  })
})

describe('what is told', () => {
  test('pressure: how full it is, then how many are refused; it passes', () => {
    const shedder = fixed({ limit: 10 })
    expect(shedder.pressure(0)).toBe(0)
    offer(shedder, 5, 'critical')
    expect(shedder.pressure(0)).toBe(0)
    offer(shedder, 2, 'critical')
    expect(shedder.pressure(0)).toBeCloseTo(0.2)
    expect(shedder.isOverloaded(0)).toBe(false)
    offer(shedder, 13, 'critical')
    expect(shedder.pressure(0)).toBe(0.75)
    expect(shedder.isOverloaded(0)).toBe(true)
    expect(shedder.isOverloaded(1_500)).toBe(false)
    expect(shedder.pressure(1_500)).toBe(0.5)
  })

  test('a call whose deadline has passed is not begun', () => {
    const shedder = fixed({ limit: 1 })
    expect(shedder.offer(shedCall({ deadline: 100 }), 100)).toBe('late')
    expect(shedder.offer(shedCall({ deadline: 100 }), 99)).toBe('run')
  })
})

describe('live settings', () => {
  test('switched off it sees nothing, and what it let in before it still counts out', () => {
    const shedder = fixed({ limit: 2 })
    const before = offer(shedder, 2, 'critical')
    shedder.update({ mode: 'off' })
    const during = offer(shedder, 50, 'critical')
    expect(during).toHaveLength(50)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 2, admitted: 2 })
    shedder.update({ mode: 'enforce' })
    for (const call of [...during, ...before]) call.success(1)
    expect(shedder.snapshot().inFlight).toBe(0)
    expect(offer(shedder, 9, 'critical')).toHaveLength(2)
  })

  test('a lower limit holds from now on; nothing is taken back', () => {
    const shedder = fixed({ limit: 4 })
    const calls = offer(shedder, 4, 'critical')
    shedder.update({ limit: 2 })
    calls.pop()!.success(1)
    expect(offer(shedder, 1, 'critical')).toHaveLength(0)
    calls.pop()!.success(1)
    calls.pop()!.success(1)
    expect(offer(shedder, 5, 'critical')).toHaveLength(1)
  })

  test('bad settings change nothing', () => {
    const shedder = fixed({ limit: 4, name: 'mine' })
    expect(() => shedder.update({ limit: 0, mode: 'off' })).toThrow(
      'Expected `limit` to be a whole number from 1 up, got 0',
    )
    expect(() => shedder.update({ mode: 'maybe' as 'off' })).toThrow(
      "Expected `mode` to be one of 'enforce', 'observe', 'off'",
    )
    expect(() => shedder.update({ name: 'other' })).toThrow('fixed has no option `name`')
    expect(shedder).toMatchObject({ kind: 'fixed', name: 'mine', mode: 'enforce' })
    expect(shedder.snapshot().limit).toBe(4)
    expect(() => fixed({ limit: 1, size: 3 } as { limit: number })).toThrow('fixed has no option `size`')
  })

  test('a reset forgets what was counted, not what is in flight', () => {
    const shedder = fixed({ limit: 2 })
    const [call] = offer(shedder, 5, 'critical')
    shedder.exempt()
    shedder.reset()
    expect(shedder.snapshot()).toMatchObject({ inFlight: 2, admitted: 0, exempt: 0 })
    expect(shedder.snapshot().refused.limit).toBe(0)
    call!.success(1)
    expect(shedder.snapshot().inFlight).toBe(1)
  })
})

test('a call belongs to the shedder that let it in', () => {
  const one = fixed({ limit: 1 })
  const other = fixed({ limit: 1 })
  const call = shedCall()
  one.offer(call, 0)
  other.settle(call, 'success', 1)
  expect(one.snapshot().inFlight).toBe(1)
  expect(other.snapshot().inFlight).toBe(0)
  call.ignore(1)
  expect(one.snapshot().inFlight).toBe(0)
})

test('a call that ended before it began, by a clock that has gone back, says nothing of how long calls take', () => {
  const grown = aimd({ initialLimit: 1 })
  const call = shedCall()
  grown.offer(call, 1_000)
  call.success(500)
  expect(grown.snapshot()).toMatchObject({ limit: 1, inFlight: 0 })
})
