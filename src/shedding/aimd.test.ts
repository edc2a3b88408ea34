import fc from 'fast-check'
import { expect, test } from 'vitest'
import { aimd, aimdStep } from './aimd.ts'
import { shedCall } from './call.ts'
import type { Shedder } from './shedder.ts'

/** Netflix concurrency-limits, AIMDLimit._update, in its own words. */
function published(limit: number, inflight: number, rtt: number, timeout: number, didDrop: boolean): number {
  let currentLimit = limit
  if (didDrop || rtt > timeout) currentLimit = Math.trunc(currentLimit * 0.9)
  else if (inflight * 2 >= currentLimit) currentLimit = currentLimit + 1
  return Math.min(200, Math.max(20, currentLimit))
}

test('moves as published', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ inFlight: fc.integer({ min: 1, max: 300 }), lost: fc.boolean(), slow: fc.boolean() }),
      ),
      calls => {
        let ours = 20
        let theirs = 20
        for (const { inFlight, lost, slow } of calls) {
          ours = Math.min(200, Math.max(20, aimdStep(ours, inFlight, lost || slow, 0.9)))
          theirs = published(theirs, inFlight, slow ? 6_000 : 10, 5_000, lost)
          expect(ours).toBe(theirs)
        }
      },
    ),
  )
})

function serve(shedder: Shedder, at: number, ms: number, end: 'success' | 'ignore' | 'dropped' = 'success') {
  const call = shedCall()
  expect(shedder.offer(call, at)).toBe('run')
  call[end](at + ms)
}

test('grows while it is used, is cut by what is lost, and not moved by what says nothing', () => {
  const shedder = aimd({ initialLimit: 2, minLimit: 1, maxLimit: 10, timeoutMs: 100 })
  serve(shedder, 0, 10)
  expect(shedder.snapshot().limit).toBe(3)
  serve(shedder, 20, 10, 'ignore')
  expect(shedder.snapshot().limit).toBe(3)
  serve(shedder, 40, 10, 'dropped')
  expect(shedder.snapshot().limit).toBe(2)
  serve(shedder, 60, 101)
  expect(shedder.snapshot().limit).toBe(1)
})

test('settings are checked, changed together or not at all, and kept by a reset', () => {
  expect(() => aimd({ backoffRatio: 2 })).toThrow(
    'Expected `backoffRatio` to be a number from 0.5 to 0.99, got 2',
  )
  expect(() => aimd({ initialLimit: 5, minLimit: 10 })).toThrow('`initialLimit`')
  expect(() => aimd({ limit: 5 } as object)).toThrow('aimd has no option `limit`')
  const shedder = aimd({ initialLimit: 50 })
  expect(() => shedder.update({ maxLimit: 60, timeoutMs: -1 })).toThrow('`timeoutMs`')
  expect(shedder.snapshot().maxLimit).toBe(200)
  shedder.update({ initialLimit: 20, maxLimit: 30, mode: 'observe' })
  expect(shedder.snapshot()).toMatchObject({ limit: 30, maxLimit: 30, mode: 'observe' })
  shedder.reset()
  expect(shedder.snapshot()).toMatchObject({ limit: 20, maxLimit: 30 })
})
