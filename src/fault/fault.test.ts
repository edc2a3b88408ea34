import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { chain, describe as parts } from '../core/chain.ts'
import { createContext, openContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { fault, faultInjected } from './fault.ts'

const settled = (promise: Promise<unknown>) =>
  promise.then(
    value => value,
    error => error,
  )

function work() {
  const done: unknown[] = []
  return {
    done,
    handler: async (request: unknown) => {
      done.push(request)
      return `done ${String(request)}`
    },
  }
}

describe('fault', () => {
  it('breaks nothing unless it is asked to', async () => {
    const { handler } = work()
    expect(await fault()(handler)('a')).toBe('done a')
    const armed = fault({ rules: [{ percent: 100, abort: 'never' }] })
    const call = armed(handler)
    expect(await call('a')).toBe('done a')
    expect(armed.snapshot()).toMatchObject({ enabled: false, calls: 0, injected: {} })
    armed.update({ enabled: true })
    expect(await settled(call('a'))).toMatchObject({ reason: 'fault-injected' })
    armed.update({ enabled: false })
    expect(await call('a')).toBe('done a')
  })

  it('refuses so that it can be told from every other refusal', async () => {
    const { handler, done } = work()
    const rules = [{ name: 'no entry', percent: 100, abort: 'later' as const }]
    const error = await settled(fault({ enabled: true, rules, name: 'chaos' })(handler)('a'))
    expect(isRejection(error, 'fault-injected')).toBe(true)
    expect(error).toMatchObject({
      policy: 'chaos',
      retry: 'later',
      retryAfterMs: 0,
      begun: false,
      detail: 'no entry',
    })
    expect(done).toEqual([])
  })

  it('fails with the error that it is given', async () => {
    const error = new Error('ECONNRESET')
    const call = fault({ enabled: true, rules: [{ percent: 100, error: () => error }] })(work().handler)
    expect(await settled(call('a'))).toBe(error)
  })

  it('can lose the answer after the work is done', async () => {
    const { handler, done } = work()
    const rules = [{ percent: 100, abort: 'later' as const, at: 'after' as const }]
    expect(await settled(fault({ enabled: true, rules })(handler)('a'))).toMatchObject({ begun: true })
    expect(done).toEqual(['a'])
  })

  it('delays, for a time from a range, and not past the end of the call', async () => {
    const clock = manualClock()
    const { handler, done } = work()
    const broken = fault({
      enabled: true,
      random: () => 0.5,
      rules: [{ percent: 100, latencyMs: { minMs: 100, maxMs: 200 } }],
    })
    const call = broken(handler)
    const answer = call('a', createContext({ clock }))
    await clock.advance(149)
    expect(done).toEqual([])
    await clock.advance(1)
    expect(await answer).toBe('done a')
    const late = settled(call('b', createContext({ clock, timeoutMs: 50 })))
    await clock.advance(50)
    expect(await late).toMatchObject({ reason: 'deadline-exceeded' })
    expect(done).toEqual(['a'])
    expect(clock.armed).toBe(0)
  })

  it('slows a call down to the rate of a line, on the way there and back', async () => {
    const clock = manualClock()
    const { handler, done } = work()
    const call = fault({ enabled: true, rules: [{ percent: 100, bytesPerSecond: 1_000 }] })(handler)
    let answer: unknown
    void call('x'.repeat(100), createContext({ clock })).then(value => {
      answer = value
    })
    await clock.advance(99)
    expect(done).toHaveLength(0)
    await clock.advance(1)
    expect(done).toHaveLength(1)
    await clock.advance(104)
    expect(answer).toBeUndefined()
    await clock.advance(1)
    expect(answer).toBe(`done ${'x'.repeat(100)}`)
  })

  it('hangs until the call ends, or until it is switched off', async () => {
    const clock = manualClock()
    const { handler, done } = work()
    const broken = fault({ enabled: true, rules: [{ percent: 100, hang: true }] })
    const call = chain(deadline({ totalMs: 100 }), broken)(handler)
    const { signal, abort } = { signal: new AbortController(), abort: new Error('gone') }
    const late = settled(call('late', createContext({ clock })))
    const gone = settled(broken(handler)('gone', createContext({ clock, signal: signal.signal })))
    const patient = broken(handler)('patient', createContext({ clock }))
    await clock.advance(100)
    expect(await late).toMatchObject({ reason: 'deadline-exceeded' })
    signal.abort(abort)
    expect(await gone).toBe(abort)
    expect(broken.snapshot().hanging).toBe(1)
    broken.update({ enabled: false })
    expect(await patient).toBe('done patient')
    expect(broken.snapshot().hanging).toBe(0)
    expect(done).toEqual(['patient'])
    expect(clock.armed).toBe(0)
    expect(getEventListeners(signal.signal, 'abort')).toHaveLength(0)
  })

  it('concerns only the callers, the tenants and the requests that it is for', async () => {
    const { handler } = work()
    const broken = fault<{ path: string }>({
      enabled: true,
      rules: [
        { percent: 100, abort: 'never', callers: ['mallory'], name: 'caller' },
        {
          percent: 100,
          abort: 'never',
          tenants: ['red'],
          when: request => request.path === '/pay',
          name: 'tenant and path',
        },
      ],
    })
    const call = broken(handler)
    const outcome = async (path: string, values: { caller?: string; tenant?: string }) => {
      const error = await settled(call({ path }, createContext(values)))
      return isRejection(error) ? error.detail : 'works'
    }
    expect(await outcome('/', { caller: 'mallory' })).toBe('caller')
    expect(await outcome('/', { caller: 'alice' })).toBe('works')
    expect(await outcome('/', {})).toBe('works')
    expect(await outcome('/', { tenant: 'red' })).toBe('works')
    expect(await outcome('/pay', { tenant: 'red' })).toBe('tenant and path')
    expect(broken.snapshot()).toMatchObject({ calls: 5, injected: { caller: 1, 'tenant and path': 1 } })
  })

  it('breaks the same calls again with the same seed', async () => {
    const run = async (seed: number) => {
      const broken = fault({ enabled: true, seed, rules: [{ percent: 30, abort: 'never' }] })
      const call = broken(work().handler)
      const once = async () => {
        const outcomes = await Promise.all(Array.from({ length: 200 }, (_, i) => settled(call(i))))
        return outcomes.map(outcome => isRejection(outcome))
      }
      const first = await once()
      broken.reset()
      expect(await once()).toEqual(first)
      return first
    }
    const one = await run(1)
    expect(await run(1)).toEqual(one)
    expect(await run(2)).not.toEqual(one)
    expect(one.filter(Boolean).length).toBeGreaterThan(30)
    expect(one.filter(Boolean).length).toBeLessThan(90)
  })

  it('tells whoever listens', async () => {
    const heard: unknown[] = []
    const stop = faultInjected.on(event => heard.push(event))
    await settled(
      fault({ enabled: true, rules: [{ percent: 100, abort: 'never', name: 'x' }] })(work().handler)(),
    )
    stop()
    expect(heard).toEqual([{ policy: 'fault', rule: 'x' }])
  })

  it('is known in a chain', () => {
    expect(parts(chain(fault({ name: 'chaos' })))).toEqual([{ kind: 'fault', name: 'chaos' }])
  })

  it('does not go on with a call that ended before its fault was over', async () => {
    const { context, cancel } = openContext()
    cancel('ended')
    for (const rule of [{ latencyMs: 5 }, { hang: true }]) {
      const call = fault({ enabled: true, rules: [{ percent: 100, ...rule }] })(work().handler)
      expect(await settled(call('a', context))).toBe('ended')
    }
  })

  it('checks its options, all or none', () => {
    const rule = (rule: object) => () => fault({ rules: [{ percent: 1, ...rule } as never] })
    expect(rule({})).toThrow('Expected `rules[0]` to have one of')
    expect(rule({ abort: 'maybe' })).toThrow('Expected `rules[0].abort` to be one of')
    expect(rule({ abort: 'never', hang: true })).toThrow('to end in one way, got abort and hang')
    expect(rule({ latencyMs: { minMs: 5, maxMs: 1 } })).toThrow('Expected `rules[0].latencyMs.maxMs`')
    expect(rule({ bytesPerSecond: 0 })).toThrow('Expected `rules[0].bytesPerSecond`')
    expect(rule({ hang: true, percent: 101 })).toThrow(
      'Expected `rules[0].percent` to be a number from 0 to 100',
    )
    expect(rule({ hang: true, whem: 1 })).toThrow('rules[0] has no option `whem`')
    expect(() => fault({ seed: 1, random: Math.random })).toThrow('Expected `seed` or `random`, got both')
    const broken = fault()
    expect(() => broken.update({ enabled: true, rules: [{ percent: -1, hang: true }] })).toThrow('percent')
    expect(() => broken.update({ enabled: 'yes' as never })).toThrow(
      'Expected `enabled` to be a boolean, got yes',
    )
    expect(broken.snapshot().enabled).toBe(false)
  })
})
