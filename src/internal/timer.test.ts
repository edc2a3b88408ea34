import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { after, sleep } from './timer.ts'

test('a callback comes after the delay, once, unless it is called off', async () => {
  const clock = manualClock({ startMs: 0 })
  const log: string[] = []
  after(clock, 10, () => log.push(`first at ${clock.now()}`))
  const callOff = after(clock, 10, () => log.push('second'))
  callOff()
  callOff()
  await clock.advance(100)
  expect(log).toEqual(['first at 10'])
  expect(clock.armed).toBe(0)
})

test('a sleep ends when its time is over and holds on to nothing', async () => {
  const clock = manualClock({ startMs: 0 })
  const { signal } = new AbortController()
  const context = createContext({ clock, signal, timeoutMs: 1_000 })
  let woke = -1
  const slept = sleep(context, 30).then(() => {
    woke = clock.now()
  })
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  await clock.advance(30)
  await slept
  expect(woke).toBe(30)
  expect(clock.armed).toBe(0)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('a sleep is cut short, at once and with the reason, when the call ends', async () => {
  const clock = manualClock({ startMs: 0 })
  const { context, cancel } = openContext({ clock, timeoutMs: 20 })
  const timedOut = expect(sleep(context, 30)).rejects.toMatchObject({ reason: 'deadline-exceeded' })
  await clock.advance(20)
  await timedOut
  expect(clock.armed).toBe(0)

  const other = openContext({ clock })
  const cut = expect(sleep(other.context, 30)).rejects.toBe('gone')
  other.cancel('gone')
  await cut
  expect(clock.armed).toBe(0)
  await expect(sleep(other.context, 30)).rejects.toBe('gone')
  cancel()
})

test('a sleep in a context that nothing can end needs nobody to watch it', async () => {
  const clock = manualClock({ startMs: 0 })
  const slept = sleep(createContext({ clock }), 5)
  expect(clock.armed).toBe(1)
  await clock.advance(5)
  await slept
})
