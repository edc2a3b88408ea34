import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { chain, layer } from './chain.ts'
import { createContext } from './context.ts'
import type { Handler } from './handler.ts'

const plain = layer(
  { kind: 'other', name: 'plain' },
  <Q, S>(next: Handler<Q, S>): Handler<Q, S> =>
    (request, context) =>
      next(request, context),
)

test.each([
  ['a layer', chain(plain)],
  ['nothing at all', chain()],
])(
  'a signal that is read behind %s is let go of when the call is over, though nobody closes its context',
  async (_, protection) => {
    const clock = manualClock()
    const { signal } = new AbortController()
    const call = protection(async (_request: undefined, context) => !context.signal.aborted)
    expect(await call(undefined, createContext({ clock, signal, timeoutMs: 60_000 }))).toBe(true)
    expect(clock.armed).toBe(0)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  },
)

test('a call behind a layer is answered when its time is up', async () => {
  const clock = manualClock()
  const call = chain(plain)(() => new Promise(() => {}))
  const answer = call(undefined, createContext({ clock, timeoutMs: 10 })).catch((error: unknown) => error)
  await clock.advance(10)
  expect(await answer).toMatchObject({ reason: 'deadline-exceeded' })
})
