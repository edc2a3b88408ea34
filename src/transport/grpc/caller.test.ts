import { getEventListeners } from 'node:events'
import { expect, test, vi } from 'vitest'
import { currentContext, withContext } from '../../core/ambient.ts'
import { chain, layer } from '../../core/chain.ts'
import { systemClock } from '../../core/clock.ts'
import { type Context, createContext, openContext } from '../../core/context.ts'
import { isRejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { caller } from './caller.ts'
import type { ClientMethod } from './client-methods.ts'
import type { CallOptions } from './client-types.ts'

/** A unary method that answers when it is told to. */
const method = () => {
  const cancel = vi.fn<() => void>()
  let answer: (() => void) | undefined
  const definition: ClientMethod = {
    path: '/a.B/C',
    requestStream: false,
    responseStream: false,
    idempotent: false,
    invoke: (request, _metadata, _options, done: any) => {
      answer = () => done(null, request)
      return { cancel, on() {} }
    },
  }
  return { definition, cancel, answer: () => answer?.() }
}

const watching = () => {
  const { definition, cancel, answer } = method()
  const seen: Context[] = []
  const see = layer({ kind: 'other', name: 'see' }, next => (request, context) => {
    seen.push(context)
    return next(request, context)
  })
  const call = caller(definition, chain(see)) as (
    request: number,
    options?: CallOptions | Context,
  ) => Promise<number>
  return { call, seen, cancel, answer }
}

test('a call belongs to the context that it is given, whichever way', async () => {
  const { call, seen, answer } = watching()
  const context = createContext({ tenant: 'blue' })
  for (const options of [context, { context }]) {
    const promise = call(1, options)
    answer()
    expect(await promise).toBe(1)
  }
  expect(seen.map(({ tenant }) => tenant)).toEqual(['blue', 'blue'])
})

test('else to the call in progress; the context that is given wins', async () => {
  const { call, seen, answer } = watching()
  const ambient = createContext({ tenant: 'ambient' })
  await withContext(ambient, async () => {
    const first = call(1)
    answer()
    await first
    const second = call(1, createContext({ tenant: 'given' }))
    answer()
    await second
    expect(currentContext()).toBe(ambient)
  })
  const third = call(1)
  answer()
  await third
  expect(seen.map(({ tenant }) => tenant)).toEqual(['ambient', 'given', undefined])
})

test('its own time only shortens what is left', async () => {
  const { call, seen, cancel } = watching()
  const clock = manualClock()
  const { context } = openContext({ clock, timeoutMs: 100 })
  const longer = call(1, { context, timeoutMs: 500 }).catch(error => error)
  const shorter = call(1, { context, timeoutMs: 30 }).catch(error => error)
  expect(seen.map(({ deadline }) => deadline - clock.now())).toEqual([100, 30])
  await clock.advance(30)
  expect(isRejection(await shorter, 'deadline-exceeded')).toBe(true)
  expect(cancel).toHaveBeenCalledTimes(1)
  await clock.advance(70)
  expect(isRejection(await longer, 'deadline-exceeded')).toBe(true)
  expect(clock.armed).toBe(0)
})

test('its signal cancels it, and keeps no listener', async () => {
  const { call, cancel, answer } = watching()
  const controller = new AbortController()
  const answered = call(1, { signal: controller.signal })
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
  answer()
  await answered
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  const reason = new Error('enough')
  const cancelled = call(2, { signal: controller.signal })
  controller.abort(reason)
  await expect(cancelled).rejects.toBe(reason)
  expect(cancel).toHaveBeenCalledOnce()
  await expect(call(3, { signal: controller.signal })).rejects.toBe(reason)
})

test('a call whose time is up is not made', async () => {
  const { definition } = method()
  const invoke = vi.fn<(...args: unknown[]) => any>()
  const call = caller({ ...definition, invoke }, chain()) as (
    request: number,
    context: Context,
  ) => Promise<number>
  const clock = manualClock()
  const context = createContext({ clock, timeoutMs: 10 })
  clock.jump(10)
  const error = await call(1, context).catch(error => error)
  expect(isRejection(error, 'deadline-exceeded')).toBe(true)
  expect(error.begun).toBe(false)
  const { context: ended, cancel } = openContext({ clock })
  const reason = new Error('gone')
  cancel(reason)
  await expect(call(1, ended)).rejects.toBe(reason)
  expect(invoke).not.toHaveBeenCalled()
})

test('a time that is no time is an error of the call', async () => {
  const { call } = watching()
  await expect(call(1, { timeoutMs: -1 })).rejects.toThrow(/`timeoutMs`/)
})

test('a method that throws at once is a call that failed', async () => {
  const { definition } = method()
  const failing = caller(
    {
      ...definition,
      invoke: () => {
        throw new Error('Channel has been shut down')
      },
    },
    chain(),
  ) as (request: number, context: Context) => Promise<number>
  await expect(failing(1, createContext({ timeoutMs: 1000 }))).rejects.toThrow('shut down')
  expect(systemClock.armed).toBe(0)
})

test('ten thousand calls under one deadline and one signal leave nothing behind', async () => {
  const { call, answer } = watching()
  const controller = new AbortController()
  const clock = manualClock()
  const { context, close } = openContext({ clock, timeoutMs: 60_000 })
  for (let i = 0; i < 10_000; i++) {
    const promise = call(i, { context, signal: controller.signal, timeoutMs: 1_000 })
    answer()
    await promise
  }
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  expect(clock.armed).toBe(0)
  close()
})
