import { expect, test, vi } from 'vitest'
import { collectAnswerFields } from '../core/answer-fields.ts'
import { createContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { noTask } from './call.ts'
import { Door, resultOf, type ShedOptions } from './door.ts'
import { fixed } from './fixed.ts'

const now = 1_000_000

function doorOf(options: ShedOptions = {}) {
  const shedder = fixed({ limit: 2 })
  const clock = manualClock({ startMs: now })
  const context = createContext({
    clock,
    tenant: 'acme',
    criticality: 'sheddable',
    attempt: 2,
    timeoutMs: 500,
  })
  return { shedder, door: new Door<string>(shedder, options), context }
}

test('a call is what its context says of it, unless an option says otherwise', () => {
  const { door, context } = doorOf()
  const task = { ...noTask }
  const plain = door.callFor('/a', context, task)!
  expect(plain).toMatchObject({ importance: 3, again: true, tenant: 'acme', route: undefined })
  expect(plain.deadline).toBe(now + 500)
  expect(plain.task).toBe(task)
  const { door: other } = doorOf({
    route: path => path,
    tenant: () => undefined,
    criticality: path => (path === '/a' ? 'critical-plus' : undefined),
  })
  // A tenant may be taken away; a class only changed.
  expect(other.callFor('/a', context)).toMatchObject({ importance: 0, tenant: undefined, route: '/a' })
  expect(other.callFor('/b', context)).toMatchObject({ importance: 3, tenant: undefined, route: '/b' })
})

test('there is no call to ask about where one is exempt, which is counted, or makes no sense, which is not', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const { door, context, shedder } = doorOf({
    exempt: path => path === '/healthz',
    name: 'front',
    route: path => {
      throw new Error(`no route for ${path}`)
    },
  })
  expect(door.callFor('/healthz', context)).toBeUndefined()
  expect(warned).not.toHaveBeenCalled()
  expect(door.callFor('/odd', context)).toBeUndefined()
  expect(shedder.snapshot().exempt).toBe(1)
  expect(warned).toHaveBeenCalledExactlyOnceWith(
    'front let a call through because it could not decide: Error: no route for /odd',
    { type: 'SpillwayWarning', code: 'SPILLWAY_SHED_FAILED' },
  )
  warned.mockRestore()
})

test('a refusal is in its name, and as far away as its random says', () => {
  const { door, context } = doorOf({ name: 'front', random: () => 0 })
  const call = door.callFor('/a', context.with({ attempt: 1 }))!
  expect(door.refuse(call, 'share', context, now)).toMatchObject({
    reason: 'shed',
    policy: 'front',
    detail: 'share',
    retry: 'elsewhere',
    retryAfterMs: 500,
  })
  expect(doorOf().door.name).toBe('fixed')
})

test('callers hear of the pressure while there is some, and with every refusal, unless headers are off', () => {
  const told = (pressure: number, how: 'tell' | 'refuse', options?: ShedOptions): string | undefined => {
    const { door, shedder, context: plain } = doorOf(options)
    shedder.pressure = at => (at === now ? pressure : 1)
    const { context, fields } = collectAnswerFields(plain)
    if (how === 'tell') door.tell(context, now)
    else door.refuse(door.callFor('/a', context)!, 'limit', context, now)
    return fields.get('x-pressure')
  }
  expect(told(0.25, 'tell')).toBe('0.25')
  expect(told(0.75, 'refuse')).toBe('0.75')
  expect(told(0, 'tell')).toBeUndefined()
  expect(told(0.25, 'tell', { headers: false })).toBeUndefined()
  expect(told(0.75, 'refuse', { headers: false })).toBeUndefined()
})

test('only a success tells of the time it took, and only a timeout of overload', () => {
  const outcomes = ['success', 'timeout', 'failure', 'refused', 'cancelled'] as const
  expect(outcomes.map(resultOf)).toEqual(['success', 'dropped', 'ignore', 'ignore', 'ignore'])
})
