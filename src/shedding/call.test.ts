import { expect, test } from 'vitest'
import { criticalities } from '../core/criticality.ts'
import { importanceOf, noTask, type ShedCall, shedCall } from './call.ts'
import { fixed } from './fixed.ts'
import type { Result, Shedder } from './shedder.ts'

/** A shedder that notes what it is told, and lets go of the call as a real one does. */
function listening(call: ShedCall): [ShedCall, Result, number][] {
  const told: [ShedCall, Result, number][] = []
  const settle: Shedder['settle'] = (over, result, now) => {
    told.push([over, result, now])
    over.shedder = undefined
  }
  call.shedder = Object.assign(fixed({ limit: 1 }), { settle })
  return told
}

test('a call of which nothing is known is critical, a first try, and never too late', () => {
  expect(shedCall()).toMatchObject({
    importance: 1,
    again: false,
    tenant: undefined,
    route: undefined,
    deadline: Infinity,
    task: noTask,
    counts: false,
  })
})

test('what is known of it is kept', () => {
  const task = { ...noTask }
  const call = shedCall(
    { criticality: 'sheddable-plus', tenant: 'acme', route: '/r', deadline: 1_500, attempt: 2 },
    task,
  )
  expect(call).toMatchObject({ importance: 2, again: true, tenant: 'acme', route: '/r', deadline: 1_500 })
  expect(call.task).toBe(task)
  expect(shedCall({ attempt: 1 }).again).toBe(false)
})

test('classes count from 0, the most important; no class is as good as critical', () => {
  expect(criticalities.map(importanceOf)).toEqual([0, 1, 2, 3])
  expect(importanceOf(undefined)).toBe(importanceOf('critical'))
})

test.each(['success', 'ignore', 'dropped'] as const)('%s is what its shedder hears, once', result => {
  const call = shedCall()
  const told = listening(call)
  expect(call.counts).toBe(true)
  call[result](1_007)
  expect(call.counts).toBe(false)
  call.success(1_008)
  call.ignore(1_008)
  call.dropped(1_008)
  expect(told).toEqual([[call, result, 1_007]])
})

test('a call that was not let in says nothing to anybody', () => {
  const shedder = fixed({ limit: 1 })
  const [first, second] = [shedCall(), shedCall()]
  expect([shedder.offer(first, 1_000), shedder.offer(second, 1_000)]).toEqual(['run', 'limit'])
  second.success(1_001)
  second.ignore(1_001)
  second.dropped(1_001)
  expect(shedder.snapshot().inFlight).toBe(1)
})
