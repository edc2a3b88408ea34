import { expect, test } from 'vitest'
import { WHOLE } from './claims.ts'
import { compileLimits } from './limits.ts'
import { Share } from './share.ts'

// 100 a second, 40 at once.
const limit = compileLimits('n', { limit: 100, periodMs: 1_000, burst: 40 })[0]!

function shareOf(part: number, tokens: number): Share {
  const share = new Share(['a', 'b'], 0)
  share.adopt(part * WHOLE, tokens * WHOLE, 1_000, limit, 0)
  return share
}

test('fills at its part of the rate, up to its part of the burst', () => {
  const share = shareOf(0.5, 0)
  expect(share.waitMs(1, 0, limit, 0)).toBe(20)
  expect(share.room(0, limit, 200)).toBe(10)
  expect(share.room(0, limit, 900)).toBe(20)
  expect(share.resetMs(limit, 900)).toBe(0)
})

test('a smaller part keeps no more than its burst, and a greater one gets no tokens but those that come with it', () => {
  const share = shareOf(1, 1)
  share.adopt(WHOLE / 4, 0, 1_000, limit, 0)
  expect(share.room(0, limit, 0)).toBe(10)
  share.adopt(WHOLE, WHOLE / 10, 1_000, limit, 0)
  expect(share.room(0, limit, 0)).toBe(14)
  share.end(limit, 0)
  expect(share.waitMs(1, 0, limit, 0)).toBe(Infinity)
})

test('a cost above the part of the burst is granted from a full bucket, and owed', () => {
  const share = shareOf(0.5, 0.5)
  expect(share.waitMs(30, 0, limit, 0)).toBe(0)
  share.spend(30)
  expect(share.waitMs(1, 0, limit, 0)).toBe(220)
})

test('the less a call matters, the fuller the bucket must be', () => {
  const share = shareOf(1, 0.5)
  expect([0, 1, 2, 3].map(rank => share.room(rank, limit, 0))).toEqual([20, 20, 20, 20])
  for (const rank of [0, 1, 2, 3]) share.note(1, rank, 0)
  share.wants(limit, 0)
  expect([0, 1, 2, 3].map(rank => share.room(rank, limit, 0))).toEqual([20, 11, 7, 3])
  expect([0, 1, 2, 3].map(rank => share.waitMs(10, rank, limit, 0))).toEqual([0, 0, 25, 62.5])
  // None waits for ever: a full bucket is enough for any.
  expect(share.waitMs(40, 3, limit, 200)).toBe(0)
})

test('tells what is wanted, whether it was granted or not, and forgets it little by little', () => {
  const share = shareOf(1, 1)
  for (let i = 0; i < 10; i++) share.note(1, 3, 0)
  expect(share.wants(limit, 200)).toEqual([0, 0, 0, 550_000])
  expect(share.wants(limit, 400)).toEqual([0, 0, 0, 385_000])
  share.note(1_000_000, 0, 400)
  expect(share.wants(limit, 600)[0]).toBe(WHOLE)
})

test('a block is waited for, also by a cost of nothing', () => {
  const share = shareOf(1, 1)
  share.blockedUntil = 70
  expect(share.waitMs(0, 0, limit, 0)).toBe(70)
  expect(share.waitMs(1, 0, limit, 20)).toBe(50)
  expect(share.room(0, limit, 20)).toBe(0)
})
