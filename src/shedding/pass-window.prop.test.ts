import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PassWindow } from './pass-window.ts'

test('knows what a list of all calls knows, of the buckets that are complete', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ gap: fc.integer({ min: 0, max: 350 }), ms: fc.integer({ min: 1, max: 500 }) }), {
        maxLength: 100,
      }),
      fc.integer({ min: 2, max: 12 }),
      (calls, buckets) => {
        const window = new PassWindow(100 * buckets, buckets)
        const list: { at: number; ms: number }[] = []
        let now = 5_000
        for (const { gap, ms } of calls) {
          now += gap
          window.add(ms, now)
          list.push({ at: now, ms })
          const present = Math.floor(now / 100)
          let most = 0
          let least = Infinity
          for (let bucket = present - buckets + 1; bucket < present; bucket++) {
            const own = list.filter(({ at }) => Math.floor(at / 100) === bucket)
            if (own.length === 0) continue
            most = Math.max(most, own.length)
            least = Math.min(least, own.reduce((sum, call) => sum + call.ms, 0) / own.length)
          }
          expect(window.maxPass(now)).toBe(most)
          expect(window.minMs(now)).toBe(least)
        }
      },
    ),
  )
})

test('a clock that goes backwards moves nothing, and one that jumps ahead leaves nothing', () => {
  const window = new PassWindow(1_000, 10)
  window.add(20, 5_000)
  window.add(10, 5_150)
  window.add(10, 4_000)
  expect(window.maxPass(5_200)).toBe(2)
  expect(window.maxPass(1e9)).toBe(0)
  expect(window.minMs(1e9)).toBe(Infinity)
  window.reset()
  window.add(10, 100)
  expect(window.maxPass(200)).toBe(1)
})
