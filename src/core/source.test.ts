import { getEventListeners } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { chain, gate } from './chain.ts'
import { createContext } from './context.ts'
import { type Follower, follow, unfollow } from './source.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length
const follower = (told: (reason: unknown) => void): Follower => ({ sourceAborted: told })

test('a signal has one listener, however many follow it, and none when the last has left', () => {
  const { signal } = new AbortController()
  const all = Array.from({ length: 100 }, () => follower(() => {}))
  for (const one of all) follow(signal, one)
  expect(listeners(signal)).toBe(1)
  for (const one of all) unfollow(signal, one)
  expect(listeners(signal)).toBe(0)
  unfollow(signal, all[0]!)
  follow(signal, all[0]!)
  expect(listeners(signal)).toBe(1)
})

test('all who follow are told once, the last to come first, but for those who left', () => {
  const source = new AbortController()
  const log: string[] = []
  const first = follower(reason => log.push(`first ${reason}`))
  const never = follower(() => log.push('never'))
  follow(source.signal, first)
  follow(source.signal, never)
  follow(
    source.signal,
    follower(reason => {
      log.push(`last ${reason}`)
      unfollow(source.signal, never)
    }),
  )
  source.abort('gone')
  expect(log).toEqual(['last gone', 'first gone'])
})

test('a thousand calls at once under one signal are no reason for a warning of a leak', async () => {
  const warned = vi.spyOn(process, 'emitWarning')
  const source = new AbortController()
  const clock = manualClock()
  const call = chain(gate({ kind: 'other', name: 'a', admit: () => undefined }))(() => new Promise(() => {}))
  const answers = Array.from({ length: 1_000 }, () =>
    call(undefined, createContext({ clock, signal: source.signal })),
  )
  expect(listeners(source.signal)).toBe(1)
  source.abort('shut down')
  const reasons = (await Promise.allSettled(answers)).map(one => (one as PromiseRejectedResult).reason)
  expect(new Set(reasons)).toEqual(new Set(['shut down']))
  expect(listeners(source.signal)).toBe(0)
  expect(warned).not.toHaveBeenCalled()
})
