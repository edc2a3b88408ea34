import { getEventListeners } from 'node:events'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { createContext, openContext, rootContext } from './context.ts'
import { type ContextKey, createContextKey } from './context-key.ts'
import { criticalities, isCriticality } from './criticality.ts'

const clock = manualClock({ startMs: 1_000 })

describe('a context', () => {
  it('has defaults that promise nothing', () => {
    const { criticality, tenant, caller, attempt, idempotent, deadline, remainingMs, ended } = rootContext
    expect([criticality, tenant, caller, attempt, idempotent]).toEqual([
      'critical',
      undefined,
      undefined,
      1,
      false,
    ])
    expect([deadline, remainingMs, ended]).toEqual([Infinity, Infinity, false])
    expect(createContext().clock).toBe(rootContext.clock)
  })

  it('is not changed by what is derived from it', () => {
    const key = createContextKey('seat', 'none')
    const one = createContext({ clock, tenant: 'a', caller: 'x' })
    const two = one.with({ criticality: 'sheddable', tenant: undefined, attempt: 3, idempotent: true })
    const three = two.with(key, '12B')
    expect(one).toMatchObject({
      criticality: 'critical',
      tenant: 'a',
      caller: 'x',
      attempt: 1,
      idempotent: false,
    })
    expect(two).toMatchObject({ criticality: 'sheddable', tenant: undefined, caller: 'x', attempt: 3 })
    expect(two.get(key)).toBe('none')
    expect(three.get(key)).toBe('12B')
    expect(three).toMatchObject({ criticality: 'sheddable', attempt: 3, idempotent: true })
  })

  it('keeps values apart by key, not by description', () => {
    const a = createContextKey<number>('same', 1)
    const b = createContextKey<number>('same', 2)
    const context = rootContext.with(a, 10)
    expect([context.get(a), context.get(b)]).toEqual([10, 2])
    expect(context.with(b, 20).with(a, 11).get(a)).toBe(11)
    expect(context.with(a, 11).get(a)).toBe(11)
    expect(context.get(a)).toBe(10)
  })

  it('gives each key its own type', () => {
    const seat = createContextKey<string | undefined>('seat', undefined)
    expectTypeOf(seat).toEqualTypeOf<ContextKey<string | undefined>>()
    expectTypeOf(rootContext.get(seat)).toEqualTypeOf<string | undefined>()
    expect(rootContext.with(seat, undefined).get(seat)).toBeUndefined()
    // @ts-expect-error a seat is no number
    expect(rootContext.with(seat, 12).get(seat)).toBe(12)
  })

  it('takes over from its parent what it is not told otherwise', () => {
    const parent = createContext({ clock, tenant: 'a', criticality: 'sheddable', timeoutMs: 100 })
    const child = createContext({ parent, caller: 'me', timeoutMs: 40 })
    expect(child).toMatchObject({ tenant: 'a', criticality: 'sheddable', caller: 'me', deadline: 1_040 })
    expect(createContext({ parent, timeoutMs: 1_000 }).deadline).toBe(1_100)
    expect(createContext({ parent }).deadline).toBe(1_100)
    expect(createContext({ parent, timeoutMs: Infinity }).deadline).toBe(1_100)
  })

  it('has never less than no time left', () => {
    const context = createContext({ clock, timeoutMs: 0 })
    expect([context.remainingMs, context.ended]).toEqual([0, true])
    const far = createContext({ clock, timeoutMs: Number.MAX_VALUE })
    expect(far.remainingMs).toBeGreaterThan(1e300)
    expect(far.ended).toBe(false)
  })

  it.each([-1, Number.NaN, -Infinity, '500' as never, null as never])(
    'refuses %j ms as a timeout',
    timeoutMs => {
      expect(() => createContext({ clock, timeoutMs })).toThrow(RangeError)
      expect(() => openContext({ clock, timeoutMs })).toThrow('Expected `timeoutMs` to be a number from 0 up')
    },
  )

  it('keeps one clock with its parent', () => {
    const parent = createContext({ clock })
    expect(() => createContext({ parent, clock: manualClock() })).toThrow(
      'Expected no `clock` beside `parent`',
    )
    expect(() => openContext({ parent, clock: manualClock() })).toThrow('Expected no `clock` beside `parent`')
    expect(createContext({ parent, clock }).clock).toBe(clock)
  })
})

describe('the signal of a context', () => {
  it('aborts with the reason of whatever ended the call', async () => {
    const source = new AbortController()
    const byParent = openContext({ clock })
    const byOwner = openContext({ clock })
    const contexts = [
      createContext({ clock, signal: source.signal, timeoutMs: 100 }),
      createContext({ parent: byParent.context, timeoutMs: 100 }),
      byOwner.context,
      createContext({ clock, timeoutMs: 10 }),
    ]
    const signals = contexts.map(context => context.signal)
    expect(signals.map(signal => signal.aborted)).toEqual([false, false, false, false])
    source.abort('source')
    byParent.cancel('parent')
    byOwner.cancel()
    await clock.advance(10)
    expect(signals.map(signal => signal.aborted)).toEqual([true, true, true, true])
    expect(signals.map(signal => signal.reason)).toEqual([
      'source',
      'parent',
      expect.objectContaining({ reason: 'cancelled', retry: 'never' }),
      expect.objectContaining({ reason: 'deadline-exceeded', retry: 'never' }),
    ])
    expect(clock.armed).toBe(0)
    expect(getEventListeners(source.signal, 'abort')).toHaveLength(0)
  })

  it('is the same one, and of derived contexts too', () => {
    const { context, close } = openContext({ clock, timeoutMs: 100 })
    expect(context.signal).toBe(context.signal)
    expect(context.with({ attempt: 2 }).signal).toBe(context.signal)
    close()
  })

  it('is aborted from the start where the call had ended before', () => {
    const source = new AbortController()
    source.abort('before')
    for (const timeoutMs of [undefined, 100]) {
      const context = createContext({ clock, signal: source.signal, timeoutMs })
      expect(context.ended).toBe(true)
      expect(context.signal.aborted).toBe(true)
      expect(context.signal.reason).toBe('before')
    }
    expect(clock.armed).toBe(0)
  })
})

describe('criticality', () => {
  it('is one of four words', () => {
    expect(criticalities.every(isCriticality)).toBe(true)
    for (const other of ['CRITICAL', '', undefined, null, 3, 'toString'])
      expect(isCriticality(other)).toBe(false)
  })
})
