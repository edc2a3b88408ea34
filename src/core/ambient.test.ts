import { expect, test } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { currentContext, withContext } from './ambient.ts'
import { chain, gate } from './chain.ts'
import { createContext, rootContext } from './context.ts'

const clock = manualClock({ startMs: 0 })
const open = gate({ kind: 'other', name: 'open', admit: () => undefined })
const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('there is no current context where nobody has set one', async () => {
  expect(currentContext()).toBeUndefined()
  const seen = await chain(open)(async () => currentContext())(
    undefined,
    createContext({ clock, timeoutMs: 50 }),
  )
  expect(seen).toBeUndefined()
})

test('a context that is set reaches everything that is started within, and nothing else', async () => {
  const context = createContext({ clock, tenant: 'a' })
  const inside = withContext(context, async () => {
    await tick()
    return currentContext()
  })
  expect(currentContext()).toBeUndefined()
  expect(await inside).toBe(context)
  expect(currentContext()).toBeUndefined()
})

test('a call without a context is made with the current one', async () => {
  const context = createContext({ clock, tenant: 'a', timeoutMs: 50 })
  const call = chain(open)(async (_request: unknown, { tenant, deadline }) => ({ tenant, deadline }))
  expect(await withContext(context, () => call())).toEqual({ tenant: 'a', deadline: 50 })
  expect(await call()).toEqual({ tenant: rootContext.tenant, deadline: Infinity })
})

test('within a call the current context is the narrower one that the handler is given', async () => {
  const call = chain(
    open,
    deadline({ totalMs: 20 }),
    open,
  )(async (_request: unknown, context) => {
    await tick()
    return currentContext() === context ? context.deadline : 'another'
  })
  expect(await withContext(createContext({ clock, timeoutMs: 50 }), () => call())).toBe(20)
})

test('a context that is handed on wins over the current one, for all that the call does', async () => {
  const explicit = createContext({ clock, tenant: 'explicit' })
  const call = chain(open)(async (_request: unknown, { tenant }) => [tenant, currentContext()?.tenant])
  const seen = withContext(createContext({ clock, tenant: 'current' }), () => call(undefined, explicit))
  expect(await seen).toEqual(['explicit', 'explicit'])
})
