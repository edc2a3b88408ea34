import { expect, test } from 'vitest'
import { openContext } from '../../core/context.ts'
import { manualClock } from '../../testing/index.ts'
import { Lease, LeaseWait } from './lease.ts'

// One comes back each millisecond.
const bucket = { emission: 1_000, parts: 1 }

test('knows for how long Redis would deny, from what it said last', () => {
  const lease = new Lease(['a'], 0)
  lease.learn(10_000, 100)
  expect(lease.waitMs(1, 10, bucket, 100)).toBe(1)
  expect(lease.waitMs(4, 10, bucket, 102)).toBe(2)
  expect(lease.room(10, bucket, 103)).toBe(3)
  expect(lease.resetMs(bucket, 103)).toBe(7)
  lease.pausedUntil = 150
  expect(lease.waitMs(1, 10, bucket, 120)).toBe(30)
  lease.blockedUntil = 170
  expect(lease.waitMs(1, 10, bucket, 120)).toBe(50)
})

test('tokens are worth nothing when their time is over', () => {
  const lease = new Lease(['a'], 0)
  lease.tokens = 5
  lease.expiresAt = 10
  expect([lease.left(9), lease.left(10)]).toEqual([5, 0])
})

test('grows at once with demand, and shrinks slowly', () => {
  const lease = new Lease(['a'], 0)
  lease.spend(10, 5)
  expect(lease.demand(100, 10)).toBe(100)
  expect(lease.demand(100, 60)).toBe(75)
  lease.spend(500, 61)
  expect(lease.demand(100, 61)).toBe(50_000)
})

test('a call that waits ends once, and leaves nothing behind', async () => {
  const clock = manualClock()
  const { context, cancel } = openContext({ clock, timeoutMs: 1_000 })
  const ended: unknown[] = []
  const wait = (): LeaseWait =>
    new LeaseWait(
      1,
      clock,
      context.scope,
      clock.now() + 50,
      outcome => ended.push(outcome),
      error => ended.push(error),
    )
  const [granted, late, cancelled] = [wait(), wait(), wait()]
  granted.settle('granted')
  granted.settle('denied')
  expect(granted.over).toBe(true)
  cancelled.settle('denied')
  await clock.advance(50)
  late.settle('granted')
  const gone = wait()
  cancel('reason')
  gone.settle('granted')
  expect(ended).toEqual(['granted', 'denied', 'away', 'reason'])
  expect(clock.armed).toBe(0)
})
