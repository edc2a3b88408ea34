import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { backend, flush, settled } from '../../test/support/isolation-backend.ts'
import { chain } from '../core/chain.ts'
import { createContext, openContext } from '../core/context.ts'
import { defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { bulkhead } from './bulkhead.ts'
import { lanes } from './lanes.ts'

describe('bulkhead with a queue', () => {
  it('lets the most critical in first, and in order among equals', async () => {
    const { handler, finish, log } = backend()
    const call = bulkhead({ limit: 1, queue: 5 })(handler)
    const as = (criticality: 'critical-plus' | 'sheddable') => createContext({ criticality })
    call('first')
    call('sheddable 1', as('sheddable'))
    call('normal 1')
    call('normal 2')
    call('important', as('critical-plus'))
    for (let i = 0; i < 4; i++) await finish()
    expect(log).toEqual(['first', 'important', 'normal 1', 'normal 2', 'sheddable 1'])
  })

  it('serves the last to come first once the line is old', async () => {
    const clock = manualClock()
    const { handler, finish, log } = backend()
    const call = bulkhead({ limit: 1, queue: 5, lifoAfterMs: 50 })(handler)
    const context = createContext({ clock })
    call(1, context)
    call(2, context)
    await clock.advance(30)
    call(3, context)
    call(4, context)
    await clock.advance(30)
    await finish()
    await finish()
    expect(log).toEqual([1, 4, 3])
  })

  for (const depth of [0, 1, 2, 3, 5]) {
    it(`a newcomer cannot take the place of a queued call, ${depth} microtasks after it came free`, async () => {
      const { handler, running, log } = backend()
      const call = bulkhead({ limit: 1, queue: 1 })(handler)
      const outcomes: string[] = []
      const run = (name: string) =>
        call(name).then(
          () => outcomes.push(`${name} ran`),
          (error: Error) => outcomes.push(`${name}: ${error.message}`),
        )
      run('first')
      run('queued')
      running[0]!.resolve('done')
      let newcomers = () => {
        run('newcomer 1')
        run('newcomer 2')
      }
      for (let i = 0; i < depth; i++) {
        const later = newcomers
        newcomers = () => queueMicrotask(later)
      }
      newcomers()
      await flush()
      expect(log.slice(0, 2)).toEqual(['first', 'queued'])
      running[1]!.resolve('done')
      await flush()
      expect(outcomes).toContain('queued ran')
    })
  }

  it('an aborted call leaves the line at once, and its place in line is free in the same tick', async () => {
    const { handler } = backend()
    const limited = bulkhead({ limit: 1, queue: 2 })
    const call = limited(handler)
    const callers = [new AbortController(), new AbortController()]
    call('running')
    const waiting = callers.map(({ signal }, i) => settled(call(i, createContext({ signal }))))
    const reason = new Error('gone')
    for (const caller of callers) caller.abort(reason)
    expect(limited.snapshot()).toMatchObject({ waiting: 0, left: 2 })
    const third = call('third')
    expect(limited.snapshot().waiting).toBe(1)
    expect(await Promise.all(waiting)).toEqual([reason, reason])
    for (const { signal } of callers) expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    third.catch(() => {})
  })

  it('nobody waits longer than maxWaitMs or its deadline', async () => {
    const clock = manualClock({ startMs: 0 })
    const limited = bulkhead({ limit: 1, queue: 5, maxWaitMs: 100 })
    const call = limited(backend().handler)
    call('running', createContext({ clock }))
    const impatient = settled(call(1, createContext({ clock, timeoutMs: 40 })))
    const patient = settled(call(2, createContext({ clock, timeoutMs: 500 })))
    await clock.advance(40)
    expect(await impatient).toMatchObject({ reason: 'deadline-exceeded' })
    await clock.advance(60)
    expect(await patient).toMatchObject({ reason: 'bulkhead-full', detail: 'no place within 100 ms' })
    expect(clock.armed).toBe(0)
    expect(limited.snapshot()).toMatchObject({ waiting: 0, left: 1, expired: 1 })
  })

  it('a waiter whose deadline leaves less than a call takes is dropped in favour of the next', async () => {
    const clock = manualClock()
    const { handler, finish, log } = backend()
    const limited = bulkhead({ limit: 1, queue: 5 })
    const call = limited(handler)
    call('measures', createContext({ clock }))
    await clock.advance(50)
    await finish()
    call('running', createContext({ clock }))
    const hopeless = settled(call('hopeless', createContext({ clock, timeoutMs: 60 })))
    call('fine', createContext({ clock }))
    expect(await settled(call('refused in advance', createContext({ clock, timeoutMs: 40 })))).toMatchObject({
      reason: 'deadline-exceeded',
      begun: false,
    })
    await clock.advance(20)
    await finish()
    expect(await hopeless).toMatchObject({ reason: 'deadline-exceeded', begun: false })
    expect(log).toEqual(['measures', 'running', 'fine'])
    expect(limited.snapshot().dropped).toBe(2)
  })

  it('a call that ends between getting its place and using it passes the place on', async () => {
    const { handler, log, running } = backend()
    const limited = bulkhead({ limit: 1, queue: 2 })
    const call = limited(handler)
    const { context, cancel } = openContext()
    call('first')
    const ended = settled(call('ended', context))
    call('last')
    running[0]!.resolve('done')
    // The first call's place is handed over before its own caller hears of it.
    while (limited.snapshot().waiting === 2) await Promise.resolve()
    cancel('changed my mind')
    expect(await ended).toBe('changed my mind')
    await flush()
    expect(log).toEqual(['first', 'last'])
    expect(limited.snapshot()).toMatchObject({ active: 1, waiting: 0, admitted: 2, left: 1 })
  })

  it('work that goes on after a call which waited in line has its answer still holds the places outside', async () => {
    const clock = manualClock()
    const { handler, running, finish } = backend()
    const outer = bulkhead({ limit: 2, name: 'outer' })
    const inner = bulkhead({ limit: 1, queue: 1, name: 'inner' })
    const call = chain(outer, inner, deadline({ totalMs: 20 }))(handler)
    const context = createContext({ clock })
    const first = call('first', context)
    const second = settled(call('second', context))
    await finish()
    expect(await first).toBe('done')
    await clock.advance(20)
    expect(await second).toMatchObject({ reason: 'deadline-exceeded' })
    expect(running).toHaveLength(1)
    expect([outer.snapshot().active, inner.snapshot().active]).toEqual([1, 1])
    await finish()
    expect([outer.snapshot().active, inner.snapshot().active]).toEqual([0, 0])
  })

  it('a call that waited goes on in its own asynchronous context, not in that of who made room', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const first = defer<void>()
    const call = bulkhead({ limit: 1, queue: 1 })(async (request: unknown) => {
      seen.push([request, storage.getStore()])
      if (request === 'a') await first.promise
    })
    storage.run('call a', () => call('a'))
    const waited = storage.run('call b', () => call('b'))
    storage.run('elsewhere', () => first.resolve())
    await waited
    expect(seen).toEqual([
      ['a', 'call a'],
      ['b', 'call b'],
    ])
  })

  it('twenty thousand waiters on a handler that throws at once do not overflow the stack', async () => {
    const first = defer<void>()
    const limited = bulkhead({ limit: 1, queue: 20_000, maxWaitMs: Infinity })
    const call = limited((request: unknown) => {
      if (request === 0) return first.promise
      throw new Error('at once')
    })
    const calls = Array.from({ length: 20_000 }, (_, i) => settled(call(i)))
    first.resolve()
    await Promise.all(calls)
    expect(limited.snapshot()).toMatchObject({ active: 0, waiting: 0, admitted: 20_000 })
  })

  it('more room lets waiters in, less room takes effect as calls come back', async () => {
    const { handler, finish, running } = backend()
    const limited = bulkhead({ limit: 1, queue: 4 })
    const call = limited(handler)
    for (let i = 0; i < 5; i++) call(i)
    limited.update({ limit: 3 })
    await flush()
    expect(running).toHaveLength(3)
    limited.update({ limit: 1 })
    await finish()
    await finish()
    expect(running).toHaveLength(1)
    await finish()
    expect(running).toHaveLength(1)
    expect(limited.snapshot()).toMatchObject({ limit: 1, active: 1, waiting: 1 })
  })

  it('a call that is ended while its lane is chosen does not join the line', async () => {
    const { handler, running } = backend()
    const { context, cancel } = openContext()
    const call = lanes({
      lanes: { only: { limit: 1, queue: 5 } },
      classify: request => {
        if (request === 'ends') cancel('ended')
        return 'only'
      },
    })
    const protect = call(handler)
    void protect('first')
    expect(await settled(protect('ends', context))).toBe('ended')
    expect(call.snapshot().lanes.only).toMatchObject({ active: 1, waiting: 0 })
    expect(running).toHaveLength(1)
  })

  it('refuses a call that has ended, and one for which there is no place in line', async () => {
    const { handler, log } = backend()
    const call = bulkhead({ limit: 1, queue: 1 })(handler)
    const { context, cancel } = openContext()
    cancel('ended')
    expect(await settled(call(0, context))).toBe('ended')
    call(1)
    call(2)
    expect(await settled(call(3))).toMatchObject({ reason: 'bulkhead-full' })
    expect(log).toEqual([1])
  })
})
