import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { type Criticality, criticalities } from '../core/criticality.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { switches } from './switches.ts'

const setting = fc.record({
  level: fc.integer({ min: 0, max: 3 }),
  percent: fc.constantFrom(0, 30, 100),
  criticality: fc.constantFrom<Criticality>(...criticalities),
})
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(60) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('load' as const), value: fc.integer({ min: 0, max: 10 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      setting,
      ttlMs: fc.integer({ min: 1, max: 200 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
)

describe('a switch', () => {
  it('puts manual above automatic above default, whatever happens, as a plain model does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), setting, async (steps, otherwise) => {
        const clock = manualClock({ startMs: 0 })
        const dwellMs = 50
        let load = 5
        const automatic = { load: () => load, enterAt: 8, exitAt: 2, dwellMs, sampleMs: 0 }
        const features = switches({ it: { levels: 3, default: otherwise, automatic } }, { clock })
        let manual: { setting: typeof otherwise; until: number } | undefined
        let level = 0
        let steppedAt = -Infinity
        for (const next of steps) {
          if (next.do === 'wait') await clock.advance(next.ms)
          if (next.do === 'load') load = next.value
          const now = clock.now()
          if (next.do === 'set') {
            manual = { setting: next.setting, until: now + next.ttlMs }
            features.set('it', { ...next.setting, ttlMs: next.ttlMs })
          }
          if (next.do === 'clear') {
            manual = undefined
            features.clear('it')
          }
          if (manual !== undefined && now >= manual.until) manual = undefined
          if (now - steppedAt >= dwellMs) {
            const before = level
            if (load >= 8) level = Math.min(3, level + 1)
            if (load <= 2) level = Math.max(0, level - 1)
            if (level !== before) steppedAt = now
          }
          const expected =
            manual?.setting ?? (level > 0 ? { level, percent: 100, criticality: 'critical-plus' } : otherwise)
          const { it } = features.snapshot()
          expect(it).toMatchObject(expected)
          expect(it!.source).toBe(manual !== undefined ? 'manual' : level > 0 ? 'automatic' : 'default')
        }
      }),
      { numRuns: 200 },
    )
  })

  it('steps at most once in each dwell, however the load jumps, and never for load between the thresholds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ ms: fc.nat(30), load: fc.double({ min: 0, max: 1, noNaN: true }) }), {
          maxLength: 100,
          size: 'max',
        }),
        fc.boolean(),
        (samples, between) => {
          const clock = manualClock({ startMs: 0 })
          let load = 0
          const automatic = { load: () => load, enterAt: 0.7, exitAt: 0.3, dwellMs: 100, sampleMs: 0 }
          const features = switches({ it: { levels: 5, automatic } }, { clock })
          const steps: number[] = []
          let level = 0
          for (const sample of samples) {
            clock.jump(sample.ms)
            load = between ? 0.301 + sample.load * 0.398 : sample.load
            const now = features.level('it', undefined, 'key')
            if (now !== level) steps.push(clock.now())
            expect(Math.abs(now - level)).toBeLessThanOrEqual(1)
            level = now
          }
          if (between) expect(steps).toEqual([])
          for (const [i, at] of steps.entries()) {
            if (i > 0) expect(at - steps[i - 1]!).toBeGreaterThanOrEqual(100)
          }
        },
      ),
    )
  })

  it('concerns the same keys every time, and more of them the higher the percentage', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string(), { minLength: 1, maxLength: 30, size: 'max' }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (keys, a, b) => {
          const features = switches({ it: {} })
          const off = (percent: number) => {
            features.set('it', { level: 1, percent })
            return keys.filter(key => !features.isOn('it', undefined, key))
          }
          const fewer = off(Math.min(a, b))
          expect(off(Math.min(a, b))).toEqual(fewer)
          const more = off(Math.max(a, b))
          for (const key of fewer) expect(more).toContain(key)
          expect(off(0)).toEqual([])
          expect(off(100)).toEqual(keys)
        },
      ),
    )
  })

  it('is on where it is none, whatever it is called and however everything else is set', () => {
    const names = fc.oneof(
      fc.string(),
      fc.constantFrom('__proto__', 'constructor', 'toString', 'it ', 'IT', ''),
    )
    fc.assert(
      fc.property(names, setting, fc.constantFrom(...criticalities), (name, set, criticality) => {
        fc.pre(name !== 'it')
        const features = switches({ it: { levels: 3, default: { level: 3 } } })
        features.set('it', set)
        const context = createContext({ criticality, caller: 'caller' })
        expect(features.level(name, context)).toBe(0)
        expect(features.isOn(name)).toBe(true)
        expect(() => features.set(name as 'it', { level: 1 })).toThrow('has no switch')
      }),
    )
  })

  it('returns key by key: none goes back on the way, and all are back when the ramp is over', () => {
    fc.assert(
      fc.property(
        setting,
        setting,
        fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 12, size: 'max' }),
        (before, after, waits) => {
          const clock = manualClock({ startMs: 0 })
          const features = switches({ it: { levels: 3, rampMs: 100 } }, { clock })
          const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`)
          const board = switches({ it: { levels: 3 } }, { clock })
          const levels = (of: typeof features) => keys.map(key => of.level('it', undefined, key))
          features.set('it', before)
          board.set('it', before)
          const start = levels(features)
          expect(start).toEqual(levels(board))
          features.set('it', after)
          board.set('it', after)
          const goal = levels(board)
          let last = levels(features)
          // More is left out at once; less comes by and by.
          last.forEach((level, i) => {
            expect(level).toBe(Math.max(start[i]!, goal[i]!))
          })
          for (const ms of waits) {
            clock.jump(ms)
            const now = levels(features)
            now.forEach((level, i) => {
              expect(level).toBeLessThanOrEqual(last[i]!)
              expect(level).toBeGreaterThanOrEqual(goal[i]!)
            })
            last = now
          }
          clock.jump(100)
          expect(levels(features)).toEqual(goal)
        },
      ),
    )
  })
})
