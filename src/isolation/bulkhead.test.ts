import { describe, expect, it } from 'vitest'
import { backend, settled } from '../../test/support/isolation-backend.ts'
import { chain, describe as parts } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import { inspect } from '../core/mechanism.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { bulkhead } from './bulkhead.ts'

describe('bulkhead without a queue', () => {
  it('is a gate, lets `limit` calls run and refuses the next', async () => {
    const { handler, finish, log } = backend()
    const limited = bulkhead({ limit: 2, name: 'orders' })
    expect(parts(chain(limited, deadline({ totalMs: 10 })))).toEqual([
      { kind: 'bulkhead', name: 'orders' },
      { kind: 'deadline', name: 'deadline' },
    ])
    const call = limited(handler)
    const first = call('a')
    call('b')
    await expect(call('c')).rejects.toMatchObject({
      reason: 'bulkhead-full',
      policy: 'orders',
      retry: 'elsewhere',
      begun: false,
    })
    await finish()
    expect(await first).toBe('done')
    call('d')
    expect(log).toEqual(['a', 'b', 'd'])
    expect(limited.snapshot()).toMatchObject({ active: 2, admitted: 3, refused: 1, waiting: 0 })
  })

  it('gives the place back when the handler throws at once', async () => {
    const limited = bulkhead({ limit: 1 })
    const call = limited(() => {
      throw new Error('at once')
    })
    await expect(call()).rejects.toThrow('at once')
    await expect(call()).rejects.toThrow('at once')
    expect(limited.snapshot().active).toBe(0)
  })

  it('counts a handler that ignores its timeout for as long as it runs', async () => {
    const clock = manualClock()
    const { handler, finish } = backend()
    const limited = bulkhead({ limit: 1 })
    const call = chain(limited, deadline({ totalMs: 10 }))(handler)
    const context = createContext({ clock })
    const late = settled(call(1, context))
    await clock.advance(10)
    expect(await late).toMatchObject({ reason: 'deadline-exceeded' })
    expect(limited.snapshot().active).toBe(1)
    await expect(call(2, context)).rejects.toMatchObject({ reason: 'bulkhead-full' })
    await finish()
    expect(limited.snapshot().active).toBe(0)
  })

  it('counts it only until its caller is answered when told so', async () => {
    const clock = manualClock()
    const limited = bulkhead({ limit: 1, holdUntil: 'answer' })
    const call = chain(limited, deadline({ totalMs: 10 }))(backend().handler)
    const late = settled(call(1, createContext({ clock })))
    await clock.advance(10)
    await late
    expect(limited.snapshot().active).toBe(0)
  })

  it('cannot be given a queue later, because a gate cannot wait', () => {
    const limited = bulkhead({ limit: 1 })
    expect(() => limited.update({ queue: 1, limit: 9 })).toThrow('Expected `queue` to stay 0')
    expect(limited.snapshot().limit).toBe(1)
  })
})

describe('the options of a bulkhead', () => {
  it('are checked at construction and on update, all or none', () => {
    expect(() => bulkhead({ limit: -1 })).toThrow('Expected `limit` to be a whole number from 0 up, got -1')
    expect(() => bulkhead({ limit: 1, queue: 0.5 })).toThrow('Expected `queue`')
    expect(() => bulkhead({ limit: 1, maxWaitMs: 0 })).toThrow('Expected `maxWaitMs`')
    expect(() => bulkhead({ limit: 1, holdUntil: 'never' as never })).toThrow('Expected `holdUntil`')
    expect(() => bulkhead({ limt: 1 } as never)).toThrow('bulkhead has no option `limt`')
    const limited = bulkhead({ limit: 1, queue: 1 })
    expect(() => limited.update({ limit: 5, queue: -1 })).toThrow('Expected `queue`')
    expect(limited.snapshot().limit).toBe(1)
    limited.update({ limit: 5 })
    expect(limited.snapshot()).toMatchObject({ limit: 5, queue: 1 })
  })

  it('a bulkhead is listed for as long as something uses it', () => {
    const call = chain(bulkhead({ limit: 7, name: 'listed' }))(async () => 'x')
    expect(inspect()).toContainEqual(
      expect.objectContaining({
        kind: 'bulkhead',
        name: 'listed',
        snapshot: expect.objectContaining({ limit: 7 }),
      }),
    )
    expect(call).toBeTypeOf('function')
  })

  it('reset forgets counters and what was learnt, not the calls in progress', async () => {
    const { handler, finish } = backend()
    const limited = bulkhead({ limit: 2, queue: 1 })
    const call = limited(handler)
    call(1)
    call(2)
    await finish()
    limited.reset()
    expect(limited.snapshot()).toMatchObject({ active: 1, admitted: 0, serviceMs: 0 })
    await finish()
    expect(limited.snapshot().active).toBe(0)
  })
})
