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
}

describe('bySpeed', () => {
  const learn = (options: { slowMs: number; fastMs?: number; maxKeys?: number }) => {
    const clock = manualClock()
    const context = createContext({ clock })
    const speed = bySpeed({ key: (query: Query) => query.route, ...options })
    const call = speed.measure(async (query: Query, inner) => {
      await sleep(inner, query.takesMs)
    })
    const take = async (route: string, takesMs: number) => {
      const answer = call({ route, takesMs }, context)
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
