import { describe, expect, it } from 'vitest'
import { hotKeys } from './hot-keys.ts'

describe('hotKeys', () => {
  it('finds the key that a third of the traffic goes to among ten thousand', () => {
    const keys = hotKeys({ capacity: 64, hotShare: 0.2 })
    let hot = 0
    for (let i = 0; i < 30_000; i++) {
      if (keys.touch(i % 3 === 0 ? 'celebrity' : `user ${(i * 7919) % 10_000}`, i)) hot++
    }
    expect(keys.hot(30_000).map(entry => entry.key)).toEqual(['celebrity'])
    expect(keys.hot(30_000)[0]!.share).toBeCloseTo(1 / 3, 1)
    expect(hot).toBeGreaterThan(9_000)
    expect(keys.snapshot()).toMatchObject({ tracked: 64, capacity: 64 })
    expect(keys.snapshot().perSecond).toBeGreaterThan(800)
  })

  it('forgets a key that has cooled down', () => {
    const keys = hotKeys({ halfLifeMs: 1_000, minPerSecond: 0 })
    for (let i = 0; i < 1_000; i++) keys.touch('old', i)
    expect(keys.isHot('old', 1_000)).toBe(true)
    for (let i = 0; i < 1_000; i++) keys.touch(`new ${i % 20}`, 1_000 + i * 10)
    expect(keys.isHot('old', 11_000)).toBe(false)
  })

  it('calls nothing hot on a service that has nothing to do', () => {
    const keys = hotKeys()
    expect(keys.touch('only', 0)).toBe(false)
    expect(keys.isHot('never seen', 0)).toBe(false)
    for (let i = 0; i < 100; i++) keys.touch('only', i * 1_000)
    expect(keys.isHot('only', 100_000)).toBe(false)
  })

  it('survives years of silence and a clock that goes back', () => {
    const keys = hotKeys({ minPerSecond: 0 })
    keys.touch('a', 1e6)
    keys.touch('a', 1e14)
    keys.touch('a', 5)
    const [entry] = keys.top(1, 1e14)
    expect(entry!.share).toBe(1)
    expect(Number.isFinite(entry!.perSecond)).toBe(true)
  })

  it('keeps what it knows when its pace is changed, and nothing after a reset', () => {
    const keys = hotKeys({ minPerSecond: 0, halfLifeMs: 1_000 })
    for (let i = 0; i < 100; i++) keys.touch('a', i)
    const before = keys.top(1, 100)[0]!
    keys.update({ halfLifeMs: 2_000 })
    expect(keys.top(1, 100)[0]!.share).toBeCloseTo(before.share)
    keys.reset()
    expect(keys.top(1, 100)).toEqual([])
    expect(keys.touch('b', 100)).toBe(true)
    expect(keys.top(9, 100)).toMatchObject([{ key: 'b', share: 1 }])
  })

  it('checks its options, all or none', () => {
    expect(() => hotKeys({ hotShare: 0 })).toThrow('Expected `hotShare` to be a number above 0 to 1, got 0')
    expect(() => hotKeys({ capacity: 0 })).toThrow('Expected `capacity`')
    const keys = hotKeys()
    expect(() => keys.update({ hotShare: 0.5, halfLifeMs: -1 })).toThrow('Expected `halfLifeMs`')
    expect(keys.snapshot().hotShare).toBe(0.1)
    expect(() => keys.update({ capacity: 3 } as never)).toThrow('has no option `capacity`')
  })
})
