import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { Scope } from './scope.ts'

const watcher = () => ({ nextWatcher: undefined, previousWatcher: undefined, scopeEnded() {} })

describe('a scope whose deadline is moved', () => {
  it('ends at the later time, watched before or after the move', async () => {
    for (const early of [true, false]) {
      const clock = manualClock({ startMs: 0 })
      const scope = new Scope(clock, undefined, 10, undefined, undefined)
      if (early) scope.watch(watcher())
      scope.extend(30)
      if (!early) scope.watch(watcher())
      await clock.advance(29)
      expect(scope.ending).toBeUndefined()
      await clock.advance(1)
      expect(scope.ending).toBe('timeout')
      expect(clock.armed).toBe(0)
    }
  })

  it('never ends sooner, and not again once it has ended', async () => {
    const clock = manualClock({ startMs: 0 })
    const scope = new Scope(clock, undefined, 10, undefined, undefined)
    scope.watch(watcher())
    scope.extend(5)
    expect(scope.deadline).toBe(10)
    await clock.advance(10)
    scope.extend(50)
    expect(scope.deadline).toBe(10)
    expect(clock.armed).toBe(0)
  })

  it('leaves what was narrowed from it before as it is, though that had as long', async () => {
    const clock = manualClock({ startMs: 0 })
    const scope = new Scope(clock, undefined, 10, undefined, undefined)
    const below = new Scope(clock, scope, 10, () => 'the old deadline', undefined)
    below.watch(watcher())
    scope.extend(30)
    await clock.advance(10)
    expect(below.ending).toBe('timeout')
    expect(below.reason).toBe('the old deadline')
    expect(scope.ending).toBeUndefined()
    expect(clock.armed).toBe(0)
  })

  it('keeps no timer for a deadline that is gone', () => {
    const clock = manualClock({ startMs: 0 })
    const scope = new Scope(clock, undefined, 10, undefined, undefined)
    scope.watch(watcher())
    scope.extend(Infinity)
    expect(clock.armed).toBe(0)
  })
})
