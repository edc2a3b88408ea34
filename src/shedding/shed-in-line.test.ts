import { describe, expect, test } from 'vitest'
import { runnerLoop } from '../../test/support/overload.ts'
import { collectAnswerFields } from '../core/answer-fields.ts'
import { createContext, openContext } from '../core/context.ts'
import { deadlineExceeded } from '../core/rejection.ts'
import { eventLoop } from '../testing/event-loop.ts'
import { adaptive } from './adaptive.ts'
import type { ShedCall } from './call.ts'
import { Door, type ShedOptions } from './door.ts'
import { shedInLine } from './shed-in-line.ts'
import type { Result, Verdict } from './shedder.ts'

/** A shedder that says what it is told to say, and what it hears of the calls that it lets in. */
function line(options: ShedOptions = {}, verdict?: Verdict) {
  const loop = eventLoop({ turnMs: 0 })
  const shedder = adaptive()
  const heard: Result[] = []
  const { offer, settle } = shedder
  shedder.offer = (...args) => verdict ?? offer.apply(shedder, args)
  shedder.settle = (call, result, now) => {
    heard.push(result)
    settle.call(shedder, call, result, now)
  }
  const protect = shedInLine<unknown>(shedder, new Door(shedder, options), runnerLoop(loop))
  const clock = loop.clock
  return { loop, shedder, heard, protect, clock, context: createContext({ clock }) }
}

describe('a call that may begin', () => {
  test('does so in the tick that it comes in, and gives its place back with its answer', async () => {
    const { protect, context, shedder, heard } = line()
    const begun: unknown[] = []
    const answer = protect(async (request: unknown) => {
      begun.push(request, shedder.snapshot().inFlight)
      return 'served'
    })('asked', context)
    expect(begun).toEqual(['asked', 1])
    expect(await answer).toBe('served')
    expect(heard).toEqual(['success'])
  })

  test.each([
    ['ignore', new Error('broken')],
    ['dropped', deadlineExceeded('inner', true)],
  ] as const)('counts as %s after %s', async (result, error) => {
    const { protect, context, heard } = line()
    await expect(protect(() => Promise.reject(error))(undefined, context)).rejects.toBe(error)
    expect(heard).toEqual([result])
  })

  test('is not mistaken for another that begins inside it', async () => {
    const { protect, context, shedder } = line()
    const settled: ShedCall[] = []
    const { settle } = shedder
    shedder.settle = (call, result, now) => {
      settled.push(call)
      settle.call(shedder, call, result, now)
    }
    const call = protect(async (depth: unknown): Promise<number> => {
      return depth === 0 ? 0 : 1 + (await call((depth as number) - 1, context))
    })
    expect(await call(2, context)).toBe(2)
    expect(new Set(settled).size).toBe(3)
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 3 })
  })
})

test('a refusal on the spot is the name of the door and the reason, and nothing has begun', async () => {
  const { protect, clock, shedder } = line({ name: 'front' }, 'full')
  shedder.pressure = () => 0.75
  const { context, fields } = collectAnswerFields(createContext({ clock }))
  let begun = 0
  const answer = protect(async () => begun++)(undefined, context)
  await expect(answer).rejects.toMatchObject({
    reason: 'shed',
    policy: 'front',
    detail: 'full',
    begun: false,
  })
  expect(begun).toBe(0)
  expect(fields.get('x-pressure')).toBe('0.75')
})

test('a call for which nobody waits any more ends as it ended, or as one whose time is up', async () => {
  const { protect, context } = line({ name: 'front' }, 'gone')
  const call = protect(async () => 'served')
  await expect(call(undefined, context)).rejects.toMatchObject({
    reason: 'deadline-exceeded',
    policy: 'front',
  })
  const { loop, protect: queued, clock: other } = line()
  const first = queued(async () => {})(undefined, createContext({ clock: other }))
  loop.burn(10)
  const { context: leaving, cancel } = openContext({ clock: other })
  const second = queued(async () => 'served')(undefined, leaving)
  cancel(new Error('left'))
  loop.run(loop.now() + 1)
  await expect(second).rejects.toThrow('left')
  await first
})

test('a call in the line begins when its turn comes, and is not part of what made room for it', async () => {
  const { loop, protect, context, shedder, heard } = line()
  const begun: string[] = []
  const call = protect(async (name: unknown) => void begun.push(name as string))
  const first = call('first', context)
  loop.burn(10)
  const second = call('second', context)
  expect([begun, shedder.queued]).toEqual([['first'], 1])
  loop.run(loop.now() + 1)
  // Its turn has come, and its promise is yet to be looked at.
  expect([begun, shedder.queued]).toEqual([['first'], 0])
  await Promise.all([first, second])
  expect(begun).toEqual(['first', 'second'])
  expect(heard).toEqual(['success', 'success'])
})

test('a call that ends between its turn and its start gives its place back unused', async () => {
  const { loop, protect, context, clock, heard } = line()
  const first = protect(async () => {})(undefined, context)
  loop.burn(10)
  const { context: leaving, cancel } = openContext({ clock })
  let begun = 0
  const second = protect(async () => begun++)(undefined, leaving)
  loop.run(loop.now() + 1)
  cancel(new Error('left'))
  await expect(second).rejects.toThrow('left')
  await first
  expect(begun).toBe(0)
  expect(heard.toSorted()).toEqual(['ignore', 'success'])
})

test('where nobody can decide, the call is served', async () => {
  const broken = (): never => {
    throw new Error('broken')
  }
  const { protect, context, shedder, heard } = line({ exempt: request => request === 'exempt' })
  shedder.offer = broken
  expect(await protect(async () => 'served')('asked', context)).toBe('served')
  expect(await protect(async () => 'served')('exempt', context)).toBe('served')
  expect(shedder.snapshot()).toMatchObject({ exempt: 1, inFlight: 0 })
  expect(heard).toEqual([])
})
