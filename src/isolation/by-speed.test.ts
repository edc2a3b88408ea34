import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chain } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { bySpeed } from './by-speed.ts'
import { lanes } from './lanes.ts'

interface Query {
  readonly route: string
  readonly takesMs: number
  readonly fails?: boolean
}

describe('bySpeed', () => {
  const learn = (options: { slowMs: number; fastMs?: number; maxKeys?: number }) => {
    const clock = manualClock()
    const context = createContext({ clock })
    const speed = bySpeed({ key: (query: Query) => query.route, ...options })
    const call = speed.measure(async (query: Query, inner) => {
      await sleep(inner, query.takesMs)
      if (query.fails) throw new Error('failed')
    })
    const take = async (route: string, takesMs: number, fails = false) => {
      const answer = call({ route, takesMs, fails }, context).catch(() => undefined)
      await clock.advance(takesMs)
      await answer
    }
    const classify = (route: string) => speed.classify({ route, takesMs: 0 }, context)
    return { speed, take, classify, clock, context }
  }

  it('learns which calls are slow, and that one has become fast', async () => {
    const { take, classify, speed } = learn({ slowMs: 100 })
    expect(classify('/report')).toBe('fast')
    await take('/report', 400)
    await take('/item', 5)
    expect([classify('/report'), classify('/item')]).toEqual(['slow', 'fast'])
    expect(speed.snapshot()).toEqual({ slowMs: 100, fastMs: 50, keys: 2, slow: ['/report'] })
    for (let i = 0; i < 20; i++) await take('/report', 10)
    expect(classify('/report')).toBe('fast')
    speed.reset()
    expect(speed.snapshot().keys).toBe(0)
  })

  it('does not flap while a call takes something between the two thresholds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 51, max: 99 }), { minLength: 25, maxLength: 30 }),
        fc.boolean(),
        async (times, slow) => {
          const { take, classify } = learn({ slowMs: 100, fastMs: 50 })
          await take('/x', slow ? 200 : 10)
          const before = classify('/x')
          for (const ms of times) {
            await take('/x', ms)
            if (!slow) expect(classify('/x')).toBe(before)
          }
          expect(classify('/x')).toBe(before)
        },
      ),
      { numRuns: 30 },
    )
  })

  it('does not take a slow call for a fast one while it fails quickly', async () => {
    const { take, classify, speed } = learn({ slowMs: 100 })
    await take('/report', 400)
    for (let i = 0; i < 30; i++) await take('/report', 1, true)
    expect(classify('/report')).toBe('slow')
    // Nor does what failed quickly from the start hide how long it takes when it works.
    for (let i = 0; i < 30; i++) await take('/export', 1, true)
    expect(speed.snapshot().keys).toBe(1)
    await take('/export', 400)
    expect(classify('/export')).toBe('slow')
  })

  it('learns from a failure that a call takes at least so long', async () => {
    const { take, classify } = learn({ slowMs: 100 })
    for (let i = 0; i < 20; i++) await take('/item', 5)
    for (let i = 0; i < 5; i++) await take('/item', 1_000, true)
    expect(classify('/item')).toBe('slow')
    await take('/hangs', 1_000, true)
    expect(classify('/hangs')).toBe('slow')
  })

  it('takes no key that has worked once for faster because of what fails', async () => {
    const call = fc.record({ ms: fc.integer({ min: 0, max: 300 }), fails: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 40, size: 'max' }), async calls => {
        const all = learn({ slowMs: 100 })
        const whole = learn({ slowMs: 100 })
        for (const { ms, fails } of [{ ms: 400, fails: false }, ...calls]) {
          await all.take('/x', ms, fails)
          if (!fails) await whole.take('/x', ms)
          if (whole.classify('/x') === 'slow') expect(all.classify('/x')).toBe('slow')
        }
      }),
      { numRuns: 60 },
    )
  })

  it('remembers no more keys than it may', async () => {
    const { take, classify, speed } = learn({ slowMs: 100, maxKeys: 2 })
    await take('/a', 200)
    await take('/b', 200)
    await take('/a', 200)
    await take('/c', 1)
    expect(speed.snapshot().keys).toBe(2)
    expect([classify('/a'), classify('/b')]).toEqual(['slow', 'fast'])
  })

  it('keeps slow calls from fast ones in lanes', async () => {
    const { speed, clock, context } = learn({ slowMs: 100 })
    const divided = lanes({ lanes: { fast: { limit: 5 }, slow: { limit: 1 } }, classify: speed.classify })
    const call = chain<Query>(
      divided,
      speed.measure,
    )(async (query: Query, inner) => sleep(inner, query.takesMs))
    const report = { route: '/report', takesMs: 300 }
    const first = call(report, context)
    await clock.advance(300)
    await first
    void call(report, context)
    await expect(call(report, context)).rejects.toMatchObject({ policy: 'lanes/slow' })
    void call({ route: '/item', takesMs: 1 }, context)
    await clock.advance(300)
    expect(divided.snapshot()).toMatchObject({ lanes: { fast: { active: 0 }, slow: { active: 0 } } })
  })

  it('checks its options, all or none', () => {
    const key = () => 'x'
    expect(() => bySpeed({ key, slowMs: 0 })).toThrow('Expected `slowMs`')
    expect(() => bySpeed({ key, slowMs: 10, fastMs: 20 })).toThrow(
      'Expected `fastMs` to be a number from 0 to 10, got 20',
    )
    const speed = bySpeed({ key, slowMs: 100 })
    expect(() => speed.update({ slowMs: 10, fastMs: 20 })).toThrow('Expected `fastMs`')
    speed.update({ slowMs: 40 })
    expect(speed.snapshot()).toMatchObject({ slowMs: 40, fastMs: 20 })
  })
})
