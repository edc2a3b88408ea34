import { expect, test } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { openContext } from './context.ts'
import type { Watcher } from './scope.ts'

test('reading the signal of a scope that is watched already arms no second alarm', async () => {
  const clock = manualClock()
  const other = openContext({ clock, timeoutMs: 20 })
  const { context } = openContext({ clock, timeoutMs: 10 })
  let endings = 0
  const watcher = (): Watcher => ({
    nextWatcher: undefined,
    previousWatcher: undefined,
    scopeEnded: () => {
      endings++
    },
  })
  let arms = 0
  const arm = clock.arm
  clock.arm = (alarm, at) => {
    arms++
    arm(alarm, at)
  }
  context.scope.watch(watcher())
  other.context.scope.watch(watcher())
  expect(context.signal.aborted).toBe(false)
  expect(arms).toBe(2)
  await clock.advance(20)
  expect(context.signal.aborted).toBe(true)
  expect(endings).toBe(2)
  expect(clock.armed).toBe(0)
})

test('a child whose signal is read while it is watched hangs in its parent once', () => {
  const clock = manualClock()
  const parent = openContext({ clock, timeoutMs: 50 })
  const { context } = openContext({ parent: parent.context, timeoutMs: 10 })
  const watcher: Watcher = { nextWatcher: undefined, previousWatcher: undefined, scopeEnded() {} }
  context.scope.watch(watcher)
  const { signal } = context
  context.scope.close()
  context.scope.unwatch(watcher)
  expect(clock.armed).toBe(0)
  parent.cancel()
  expect(signal.aborted).toBe(false)
})

test('a signal read after the deadline, before its alarm has rung, has aborted', async () => {
  const clock = manualClock({ startMs: 0 })
  const { scope } = openContext({ clock, timeoutMs: 1 }).context
  await clock.advance(1)
  scope.watch({ nextWatcher: undefined, previousWatcher: undefined, scopeEnded() {} })
  expect(scope.signal.aborted).toBe(true)
  await clock.advance(1)
  expect(scope.ending).toBe('timeout')
})
