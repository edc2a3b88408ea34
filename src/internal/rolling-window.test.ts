import { expect, test } from 'vitest'
import { RollingWindow } from './rolling-window.ts'

test('counts fall out of the window bucket by bucket', () => {
  const window = new RollingWindow(100, 3, 1)
  window.advance(0)
  window.add(0, 1)
  window.advance(100)
  window.add(0, 10)
  window.advance(299)
  expect(window.sums[0]).toBe(11)
  window.advance(300)
  expect(window.sums[0]).toBe(10)
  window.advance(400)
  expect(window.sums[0]).toBe(0)
})

test('one hour of silence empties the window, without a push for every bucket of it', () => {
  const window = new RollingWindow(1_000, 5, 1)
  window.advance(500)
  window.add(0, 4)
  window.advance(3_600_500)
  expect(window.sums[0]).toBe(0)
})

test('a correction of a bucket that has left the window changes nothing', () => {
  const window = new RollingWindow(100, 3, 1)
  window.advance(0)
  const { epoch } = window
  window.add(0, 1)
  window.advance(250)
  window.addAt(epoch, 0, -1)
  expect(window.sums[0]).toBe(0)
  window.advance(300)
  window.addAt(epoch, 0, -1)
  expect(window.sums[0]).toBe(0)
})

test('a clock that goes backwards brings nothing back', () => {
  const window = new RollingWindow(100, 3, 1)
  window.advance(1_000)
  window.add(0, 1)
  window.advance(900)
  window.add(0, 1)
  expect(window.sums[0]).toBe(2)
  window.advance(1_300)
  expect(window.sums[0]).toBe(0)
})

test('a window of many buckets is saved without its empty tail', () => {
  const window = new RollingWindow(100, 40, 2)
  window.advance(0)
  window.add(1, 7)
  expect(window.save(250)).toEqual({
    bucketMs: 100,
    sinceBucketStartMs: 50,
    counts: [
      [0, 0],
      [0, 0],
      [0, 7],
    ],
  })
})
