import { expect, test } from 'vitest'
import { Evidence } from './evidence.ts'

function made(): Evidence {
  return new Evidence({ bucketMs: 250, buckets: 40, recentBuckets: 4, youngBuckets: 10 })
}

function answer(evidence: Evidence, now: number, times: number, how: 'accepted' | 'failed'): void {
  evidence.advance(now)
  for (let i = 0; i < times; i++) evidence[how](evidence.sent(now))
}

test('the recent past asks for rejections while the window is still full of good answers', () => {
  const evidence = made()
  answer(evidence, 0, 1_000, 'accepted')
  answer(evidence, 2_000, 100, 'failed')
  expect(evidence.excess(2, 0.1, 20)).toBeCloseTo(100 / 101)
  evidence.advance(3_250)
  expect(evidence.excess(2, 0.1, 20)).toBe(0)
})

test('the whole window asks for them when the recent past holds too few calls', () => {
  const evidence = made()
  answer(evidence, 0, 100, 'failed')
  evidence.advance(5_000)
  expect(evidence.excess(2, 0.1, 20)).toBeCloseTo(100 / 101)
})

test('a call without an answer counts once it is no longer young, until it is answered or forgotten', () => {
  const evidence = made()
  evidence.advance(0)
  const epoch = evidence.sent(0)
  evidence.advance(2_499)
  expect(evidence.counts().overdue).toBe(0)
  evidence.advance(2_500)
  expect(evidence.counts().overdue).toBe(1)
  evidence.accepted(epoch)
  expect(evidence.counts()).toEqual({ accepted: 1, failed: 0, rejected: 0, overdue: 0 })

  const other = made()
  other.advance(0)
  const lost = other.sent(0)
  other.advance(10_000)
  expect(other.counts().overdue).toBe(0)
  other.failed(lost)
  expect(other.counts()).toEqual({ accepted: 0, failed: 1, rejected: 0, overdue: 0 })
})

test('a rejected call weighs what it is said to weigh', () => {
  const evidence = made()
  answer(evidence, 0, 10, 'accepted')
  for (let i = 0; i < 100; i++) evidence.rejected()
  expect(evidence.excess(2, 0.1, 20)).toBe(0)
  expect(evidence.excess(2, 1, 20)).toBeCloseTo(90 / 111)
})
