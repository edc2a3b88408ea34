import { describe, expect, test } from 'vitest'
import type { Criticality } from '../core/criticality.ts'
import { type ShedCall, shedCall } from './call.ts'
import { RunQueue } from './run-queue.ts'

let time = 0

function put(queue: RunQueue, criticality: Criticality, costMs = 1, attempt = 1): ShedCall {
  const call = shedCall({ criticality, attempt })
  call.costMs = costMs
  call.arrivedAt = ++time
  queue.push(call)
  return call
}

describe('order', () => {
  test('by class, first tries before second ones, then as they came', () => {
    const queue = new RunQueue(0.05)
    const sheddable = put(queue, 'sheddable')
    const again = put(queue, 'critical', 1, 2)
    const first = put(queue, 'critical')
    const second = put(queue, 'critical')
    const top = put(queue, 'critical-plus')
    const plus = put(queue, 'sheddable-plus')
    const taken = Array.from({ length: 6 }, () => queue.take())
    expect(taken).toEqual([top, first, second, again, plus, sheddable])
    expect(queue.size).toBe(0)
    expect(queue.take()).toBeUndefined()
  })

  test('where a queue stands, the newest first', () => {
    const queue = new RunQueue(0.05)
    const calls = [put(queue, 'critical'), put(queue, 'critical'), put(queue, 'critical')]
    queue.classes[1]!.stands = true
    expect(Array.from({ length: 3 }, () => queue.take())).toEqual(calls.toReversed())
  })

  test.each([1, 5, 30])('each class that waits gets its floor of the work, calls of %d ms', costMs => {
    const queue = new RunQueue(0.05)
    const served = [0, 0, 0, 0]
    const classes = ['critical-plus', 'critical', 'sheddable-plus', 'sheddable'] as const
    for (const criticality of classes) for (let i = 0; i < 5; i++) put(queue, criticality, costMs)
    for (let i = 0; i < 4_000; i++) {
      const call = queue.take()!
      served[call.importance]! += 1 / 4_000
      put(queue, classes[call.importance]!, costMs)
    }
    expect(served[0]).toBeCloseTo(0.85, 1)
    for (const k of [1, 2, 3]) expect(served[k]).toBeCloseTo(0.05, 1.5)
  })
})

describe('what is in front', () => {
  test('all that comes before, and no more than the floor lets a class wait for', () => {
    const queue = new RunQueue(0.1)
    for (let i = 0; i < 10; i++) put(queue, 'critical', 5)
    const low = put(queue, 'sheddable', 2)
    expect(queue.workBefore(low)).toBe(20)
    expect(queue.workBefore(shedCall({ criticality: 'critical' }))).toBe(50)
    expect(queue.workBefore(shedCall({ criticality: 'critical-plus' }))).toBe(0)
    put(queue, 'sheddable', 2)
    put(queue, 'sheddable', 2)
    expect(queue.workBefore(low)).toBe(56)
  })

  test('second tries wait for first ones, not the other way round', () => {
    const queue = new RunQueue(0.1)
    const again = put(queue, 'critical', 3, 2)
    put(queue, 'critical', 4)
    expect(queue.workBefore(again)).toBe(7)
    expect(queue.workBefore(shedCall())).toBe(4)
  })
})

test('the old ones of a class can be removed, first tries and second ones', () => {
  const queue = new RunQueue(0.05)
  const old = put(queue, 'critical')
  const oldAgain = put(queue, 'critical', 1, 2)
  const before = ++time
  const young = put(queue, 'critical')
  const [, own] = queue.classes
  expect(own!.oldestAt).toBe(old.arrivedAt)
  expect(queue.takeOlder(own!, before)).toBe(old)
  expect(queue.takeOlder(own!, before)).toBe(oldAgain)
  expect(queue.takeOlder(own!, before)).toBeUndefined()
  expect(queue.takeLast(young)).toBe(young)
  expect(queue.size).toBe(0)
  expect(own!.oldestAt).toBe(Infinity)
})

test('where somebody has to make room it is a second try of the class that matters least, and never one that matters as much', () => {
  const queue = new RunQueue(0.05)
  const first = put(queue, 'sheddable')
  const again = put(queue, 'sheddable', 1, 2)
  const more = put(queue, 'sheddable-plus', 1, 2)
  const critical = shedCall({ criticality: 'critical' })
  expect(Array.from({ length: 4 }, () => queue.takeLesser(critical))).toEqual([again, first, more, undefined])
  put(queue, 'critical')
  expect(queue.takeLesser(critical)).toBeUndefined()
})
