import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { fallback } from './fallback.ts'
import { switchChanged, switches } from './switches.ts'

const users = Array.from({ length: 2_000 }, (_, i) => `user ${i}`)

describe('switches', () => {
  it('are on until something switches them off, and a name that is no switch is on', () => {
    const features = switches({ reviews: {}, ads: { default: { level: 1 } } })
    expect(features.isOn('reviews')).toBe(true)
    expect(features.isOn('ads')).toBe(false)
    expect(features.isOn('no such thing')).toBe(true)
    expect(features.names).toEqual(['reviews', 'ads'])
  })

  it('are set by hand for a time, so that nobody can forget one', async () => {
    const clock = manualClock()
    const features = switches({ reviews: { levels: 2 } }, { clock })
    features.set('reviews', { level: 2, ttlMs: 1_000 })
    expect(features.level('reviews')).toBe(2)
    expect(features.snapshot().reviews).toMatchObject({
      level: 2,
      source: 'manual',
      expiresInMs: 1_000,
      degraded: 1,
    })
    await clock.advance(999)
    expect(features.level('reviews')).toBe(2)
    await clock.advance(1)
    expect(features.level('reviews')).toBe(0)
    expect(features.snapshot().reviews).toMatchObject({ level: 0, source: 'default', expiresInMs: undefined })
    features.set('reviews', { level: 1 })
    await clock.advance(3_599_999)
    expect(features.isOn('reviews')).toBe(false)
    features.clear('reviews')
    expect(features.isOn('reviews')).toBe(true)
  })

  it('are worked by load, one step at a time, and by hand above that', async () => {
    const clock = manualClock()
    let load = 0.5
    const automatic = { load: () => load, enterAt: 0.9, exitAt: 0.7, dwellMs: 1_000, sampleMs: 10 }
    const features = switches({ reviews: { levels: 2, automatic } }, { clock })
    const level = () => features.level('reviews')
    expect(level()).toBe(0)
    load = 0.95
    expect(level()).toBe(0)
    await clock.advance(10)
    expect(level()).toBe(1)
    await clock.advance(999)
    expect(level()).toBe(1)
    await clock.advance(10)
    expect(level()).toBe(2)
    features.set('reviews', { level: 0, ttlMs: 500 })
    expect(level()).toBe(0)
    await clock.advance(500)
    expect(level()).toBe(2)
    load = 0.8
    await clock.advance(5_000)
    expect(level()).toBe(2)
    load = 0.7
    await clock.advance(10)
    expect(level()).toBe(1)
    expect(features.snapshot().reviews).toMatchObject({ source: 'automatic', level: 1 })
    await clock.advance(1_000)
    expect(level()).toBe(0)
  })

  it('concern the classes and the part of the calls that they are set for', () => {
    const features = switches({ reviews: {} })
    features.set('reviews', { level: 1, criticality: 'sheddable-plus' })
    const on = (criticality: 'critical-plus' | 'critical' | 'sheddable-plus' | 'sheddable') =>
      features.isOn('reviews', createContext({ criticality }))
    expect([on('critical-plus'), on('critical'), on('sheddable-plus'), on('sheddable')]).toEqual([
      true,
      true,
      false,
      false,
    ])
    features.set('reviews', { level: 1, percent: 25 })
    const off = users.filter(caller => !features.isOn('reviews', createContext({ caller })))
    expect(off.length).toBeGreaterThan(400)
    expect(off.length).toBeLessThan(600)
    expect(users.filter(key => !features.isOn('reviews', undefined, key))).toEqual(off)
  })

  it('do not hit the same part of the users every time', () => {
    const features = switches({ reviews: {}, ads: {} })
    for (const name of features.names) features.set(name, { level: 1, percent: 50 })
    const both = users.filter(
      key => !features.isOn('reviews', undefined, key) && !features.isOn('ads', undefined, key),
    )
    expect(both.length).toBeGreaterThan(400)
    expect(both.length).toBeLessThan(600)
  })

  it('draw lots for calls without a key', () => {
    const randoms = [0.1, 0.6]
    const features = switches({ reviews: {} }, { random: () => randoms.shift()! })
    features.set('reviews', { level: 1, percent: 50 })
    expect([features.isOn('reviews'), features.isOn('reviews')]).toEqual([false, true])
  })

  it('come back over the ramp and not all at once, but go off at once', async () => {
    const clock = manualClock()
    const features = switches({ reviews: { rampMs: 1_000 } }, { clock })
    const off = () => users.filter(key => !features.isOn('reviews', undefined, key)).length / users.length
    features.set('reviews', { level: 1 })
    expect(off()).toBe(1)
    features.clear('reviews')
    expect(off()).toBe(1)
    await clock.advance(250)
    expect(off()).toBeCloseTo(0.75, 1)
    await clock.advance(500)
    expect(off()).toBeCloseTo(0.25, 1)
    features.set('reviews', { level: 1 })
    expect(off()).toBe(1)
    features.clear('reviews')
    await clock.advance(1_000)
    expect(off()).toBe(0)
  })

  it('say when they change', async () => {
    const clock = manualClock()
    const heard: unknown[] = []
    const stop = switchChanged.on(event => heard.push(event))
    const features = switches({ reviews: {} }, { clock, name: 'shop' })
    features.set('reviews', { level: 1, ttlMs: 5 })
    features.set('reviews', { level: 1, ttlMs: 10 })
    await clock.advance(10)
    features.isOn('reviews')
    stop()
    expect(heard).toMatchObject([
      { switches: 'shop', name: 'reviews', source: 'manual', from: { level: 0 }, to: { level: 1 } },
      { switches: 'shop', name: 'reviews', source: 'default', from: { level: 1 }, to: { level: 0 } },
    ])
  })

  it('do not fail a call because the load cannot be told', () => {
    const automatic = {
      load: () => {
        throw new Error('no signal')
      },
      enterAt: 1,
      exitAt: 0,
    }
    expect(switches({ reviews: { automatic } }).isOn('reviews')).toBe(true)
    const nan = { load: () => Number.NaN, enterAt: 1, exitAt: 0 }
    expect(switches({ reviews: { automatic: nan } }).isOn('reviews')).toBe(true)
  })

  it('work a fallback', async () => {
    const features = switches({ reviews: {} })
    let calls = 0
    const call = fallback({
      default: [] as string[],
      off: (_, context) => !features.isOn('reviews', context),
    })(async () => {
      calls++
      return ['good']
    })
    features.set('reviews', { level: 1 })
    expect(await call()).toEqual([])
    features.clear('reviews')
    expect(await call()).toEqual(['good'])
    expect(calls).toBe(1)
  })

  it('change their options all or none, and keep what was set by hand through a reset', () => {
    let load = 1
    const features = switches({ reviews: { levels: 2 }, ads: {} })
    features.set('reviews', { level: 2 })
    expect(() => features.update({ ads: { rampMs: 5 }, reviews: { levels: 0 } })).toThrow(
      'Expected `reviews.levels`',
    )
    expect(() => features.update({ adds: {} } as never)).toThrow('has no option `adds`')
    features.update({
      reviews: { levels: 1 },
      ads: { automatic: { load: () => load, enterAt: 1, exitAt: 0, dwellMs: 0, sampleMs: 0 } },
    })
    expect(features.level('reviews')).toBe(1)
    expect(features.level('ads')).toBe(1)
    load = 0.5
    features.reset()
    expect(features.snapshot()).toMatchObject({
      reviews: { level: 1, source: 'manual', degraded: 0 },
      ads: { level: 0 },
    })
    features.update({ ads: { automatic: undefined } })
    expect(features.level('ads')).toBe(0)
  })

  it('check what they are given', () => {
    expect(() => switches({ a: { default: { level: 2 } } })).toThrow(
      'Expected `a.default.level` to be a whole number from 0 to 1, got 2',
    )
    expect(() => switches({ a: { automatic: { load: () => 1, enterAt: 1, exitAt: 1 } } })).toThrow(
      'below `enterAt`, got 1',
    )
    const features = switches({ a: {} })
    expect(() => features.set('a', { level: 3 })).toThrow('Expected `level`')
    expect(() => features.set('a', { level: 1, percent: 101 })).toThrow('Expected `percent`')
    expect(() => features.set('a', { level: 1, ttlMs: 0 })).toThrow('Expected `ttlMs`')
    expect(() => features.set('b' as never, { level: 1 })).toThrow('switches has no switch `b`; it has a')
    expect(features.isOn('a')).toBe(true)
  })
})
