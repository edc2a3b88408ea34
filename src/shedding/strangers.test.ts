/** What anybody may write into a request, and what it must not do to others. */
import { describe, expect, test } from 'vitest'
import { adaptive } from './adaptive.ts'
import { aimd } from './aimd.ts'
import { bbr } from './bbr.ts'
import { shedCall } from './call.ts'
import { codel } from './codel.ts'
import { fixed } from './fixed.ts'
import { gradient } from './gradient.ts'
import type { Mode, Shedder } from './shedder.ts'
import { vegas } from './vegas.ts'

const makers: Readonly<Record<string, (mode: Mode) => Shedder>> = {
  adaptive: mode => adaptive({ mode }),
  fixed: mode => fixed({ limit: 10, mode }),
  aimd: mode => aimd({ mode }),
  gradient: mode => gradient({ mode }),
  vegas: mode => vegas({ mode }),
  bbr: mode => bbr({ cpu: () => 0, loop: () => 0, mode }),
  codel: mode => codel({ delayMs: () => 0, mode }),
}

describe.each(Object.entries(makers))('%s', (_name, make) => {
  test.each(['enforce', 'observe'] as const)(
    'deadlines that were over before they came do not make it look overloaded: %s',
    mode => {
      const shedder = make(mode)
      for (let now = 1_000; now < 3_000; now += 10) {
        const late = shedCall({ deadline: now })
        expect(shedder.offer(late, now)).toBe(mode === 'enforce' ? 'late' : 'run')
        expect(late.counts).toBe(false)
        expect(shedder.isOverloaded(now)).toBe(false)
        expect(shedder.pressure(now)).toBe(0)
      }
      expect(shedder.snapshot().refused.late).toBe(200)
    },
  )

  test('a class that is none is that of a call that says nothing', () => {
    const shedder = make('enforce')
    const call = shedCall({ criticality: 'most-important-of-all' as 'critical' })
    expect(call.importance).toBe(1)
    expect(shedder.offer(call, 0)).toBe('run')
  })
})

test('bbr: deadlines that were over before they came do not arm its cool-down', () => {
  let use = 1
  const shedder = bbr({ windowMs: 1_000, buckets: 10, cpu: () => use, loop: () => 0 })
  // One call at a time, of 10 ms each: the limit is 1.
  let now = 1_000
  for (; now < 2_000; now += 10) {
    const call = shedCall()
    shedder.offer(call, now)
    call.success(now + 10)
  }
  expect(shedder.offer(shedCall({ criticality: 'sheddable' }), now)).toBe('run')
  expect(shedder.snapshot().limit).toBeLessThan(5)
  use = 0
  now += 5_000
  shedder.offer(shedCall({ deadline: now }), now)
  for (let i = 0; i < 20; i++) expect(shedder.offer(shedCall(), now + 1)).toBe('run')
})

describe('second tries', () => {
  const limiters = {
    fixed: () => fixed({ limit: 100 }),
    aimd: () => aimd({ initialLimit: 100 }),
    gradient: () => gradient({ initialLimit: 100 }),
    vegas: () => vegas({ initialLimit: 100 }),
  }
  test.each(Object.entries(limiters))(
    '%s: come after first ones of their class, and before the next class',
    (_name, make) => {
      const taken = (criticality: 'critical' | 'sheddable-plus', attempt: number): number => {
        const shedder = make()
        let count = 0
        while (shedder.offer(shedCall({ criticality, attempt }), 0) === 'run') count++
        return count
      }
      expect(taken('critical', 1)).toBe(100)
      expect(taken('critical', 2)).toBe(95)
      expect(taken('sheddable-plus', 1)).toBe(90)
      expect(taken('sheddable-plus', 2)).toBe(85)
    },
  )

  test('codel: may have waited less', () => {
    let delayMs = 100
    const shedder = codel({ targetMs: 10, intervalMs: 100, delayMs: () => delayMs })
    for (let now = 0; now < 500; now += 10) shedder.offer(shedCall(), now)
    const verdict = (attempt: number): string => shedder.offer(shedCall({ attempt }), 503)
    delayMs = 19
    expect([verdict(1), verdict(2)]).toEqual(['run', 'delay'])
    delayMs = 12
    expect([verdict(1), verdict(2)]).toEqual(['run', 'run'])
  })
})
