import { expect, test } from 'vitest'
import { manualClock } from '../../testing/index.ts'
import { Fallback } from './fallback.ts'
import { compileLimits } from './limits.ts'

const clock = manualClock()
const limits = compileLimits('n', [
  { name: 'fast', limit: 10, periodMs: 1_000 },
  { name: 'slow', limit: 40, windowMs: 60_000, keyBy: () => 'all' },
])
const local = (nodes: number): Fallback =>
  new Fallback({ outage: 'local', limits, nodes, clock, maxKeys: 100 })

test('shares of all processes together are no more than the limit', () => {
  let granted = 0
  for (let node = 0; node < 5; node++) {
    const share = local(5)
    for (let i = 0; i < 100; i++) granted += share.take('a', 1, 0, 0).allowed ? 1 : 0
  }
  expect(granted).toBe(10)
})

test('a share is used up by what Redis granted, and owes nothing for more than that', () => {
  const share = local(2)
  for (let i = 0; i < 50; i++) share.granted('a', 1, 0)
  expect(share.take('a', 1, 0, 0)).toMatchObject({ allowed: false, source: 'share', policy: 'fast' })
  expect(share.take('a', 1, 200, 0)).toMatchObject({ allowed: true })
})

test('a refund, a charge and a block reach the share', () => {
  const share = local(1)
  share.charge('a', 10, 0)
  expect(share.peek('a', 1, 0, 0).allowed).toBe(false)
  share.refund('a', 5, 0)
  expect(share.peek('a', 5, 0, 0).allowed).toBe(true)
  share.block('a', 100, 0)
  expect(share.peek('a', 1, 99, 0)).toMatchObject({ allowed: false, retryAfterMs: 1 })
  share.clear()
  expect(share.peek('a', 10, 99, 0).allowed).toBe(true)
})

test('open and closed answer for the tightest limit', () => {
  const open = new Fallback({ outage: 'open', limits, nodes: 1, clock, maxKeys: 1 })
  expect(open.peek('a', 10, 0, 70)).toMatchObject({
    allowed: true,
    limit: 10,
    policy: 'fast',
    source: 'open',
  })
  const closed = new Fallback({ outage: 'closed', limits, nodes: 1, clock, maxKeys: 1 })
  expect(closed.take('a', 1, 0, 70)).toMatchObject({ allowed: false, retryAfterMs: 70, source: 'closed' })
  expect(closed.take('a', 11, 0, 70)).toMatchObject({ retryAfterMs: Infinity })
})
