import { describe, expect, it, vi } from 'vitest'
import { shouldRetry } from '../core/advice.ts'
import { chain, describe as partsOf } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import type { Call } from '../core/handler.ts'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { attemptDeadline, deadline } from './deadline.ts'

const hang = (): Promise<never> => new Promise(() => {})

/** What a call fails with, and when. */
async function failing(
  clock: ManualClock,
  call: Call,
  timeoutMs?: number,
): Promise<{ error: unknown; at: number }> {
  let seen: { error: unknown; at: number } | undefined
  const started = clock.now()
  call(undefined, createContext({ clock, timeoutMs })).catch((error: unknown) => {
    seen = { error, at: clock.now() - started }
  })
  await clock.advance(10_000)
  return seen!
}

describe('deadline', () => {
  it('answers when the time is up, though the handler goes on', async () => {
    const clock = manualClock()
    const { error, at } = await failing(clock, deadline({ totalMs: 30 })(hang))
    expect(at).toBe(30)
    expect(error).toMatchObject({
      reason: 'deadline-exceeded',
      policy: 'deadline',
      retry: 'never',
      begun: true,
      message: '[deadline-exceeded] refused by deadline: after 30 ms',
    })
    expect(clock.armed).toBe(0)
  })

  it('tells everything further in through the signal', async () => {
    const clock = manualClock()
    const reasons: unknown[] = []
    const call = deadline({ totalMs: 30 })((_request, { signal }) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      return hang()
    })
    const { error } = await failing(clock, call)
    expect(reasons).toEqual([error])
  })

  it('never gives more than the parent has left, less the reserve', async () => {
    const clock = manualClock()
    const seen: number[] = []
    const call = deadline({ totalMs: 100, reserveMs: 5 })(async (_request, { remainingMs }) => {
      seen.push(remainingMs)
    })
    for (const timeoutMs of [undefined, 200, 105, 104, 50])
      await call(undefined, createContext({ clock, timeoutMs }))
    expect(seen).toEqual([100, 100, 100, 99, 45])
  })

  it('says which of the two ran out', async () => {
    const clock = manualClock()
    const call = deadline({ totalMs: 100, reserveMs: 5 })(hang)
    const own = await failing(clock, call, 500)
    expect([own.at, (own.error as Error).message]).toEqual([
      100,
      '[deadline-exceeded] refused by deadline: after 100 ms',
    ])
    const parents = await failing(clock, call, 50)
    expect([parents.at, (parents.error as Error).message]).toEqual([
      45,
      '[deadline-exceeded] refused by deadline: 5 ms before the end of the whole call',
    ])
  })

  it('refuses at once, and begins nothing, when too little time is left', async () => {
    const clock = manualClock()
    const handler = vi.fn(hang)
    const call = deadline({ totalMs: 100, reserveMs: 5, minUsefulMs: 20, name: 'page' })(handler)
    for (const timeoutMs of [0.5, 5, 24.9]) {
      const { error, at } = await failing(clock, call, timeoutMs)
      expect(at).toBe(0)
      expect(error).toMatchObject({
        reason: 'deadline-exceeded',
        policy: 'page',
        begun: false,
        retry: 'never',
      })
    }
    expect(handler).not.toHaveBeenCalled()
    await failing(clock, call, 25)
    expect(handler).toHaveBeenCalledOnce()
  })

  it('leaves no timer and makes no signal when the work is in time and reads none', async () => {
    const clock = manualClock()
    const made = vi.spyOn(globalThis, 'AbortController')
    const answer = deadline({ totalMs: 30 })(async () => 'answer')(undefined, createContext({ clock }))
    expect(clock.armed).toBe(1)
    expect(await answer).toBe('answer')
    expect(clock.armed).toBe(0)
    expect(made).not.toHaveBeenCalled()
    made.mockRestore()
  })

  it('arms one timer for a call, however many deadlines it has', async () => {
    const clock = manualClock()
    const call = chain(
      deadline({ totalMs: 50 }),
      attemptDeadline({ attemptMs: 80 }),
      deadline({ totalMs: 90 }),
    )(hang)
    const refused = failing(clock, call)
    expect(clock.armed).toBe(1)
    expect(await refused).toMatchObject({ at: 50, error: { policy: 'deadline' } })
  })

  it('does not look at the date', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const clock = manualClock()
    vi.setSystemTime(0)
    const answer = failing(clock, deadline({ totalMs: 30 })(hang))
    vi.setSystemTime(8.64e15)
    expect(await answer).toMatchObject({ at: 30 })
    vi.useRealTimers()
  })
})

describe('attemptDeadline', () => {
  it('runs out of time that may be worth another try', async () => {
    const clock = manualClock()
    const { error, at } = await failing(clock, attemptDeadline({ attemptMs: 30 })(hang))
    expect(at).toBe(30)
    expect(error).toMatchObject({ policy: 'attempt-deadline', retry: 'later', retryAfterMs: 0, begun: true })
    expect(shouldRetry(error)).toBe(true)
  })

  it('gives no hope where the whole call has run out of time', async () => {
    const clock = manualClock()
    const call = chain(deadline({ totalMs: 20 }), attemptDeadline({ attemptMs: 30 }))(hang)
    const { error, at } = await failing(clock, call)
    expect(at).toBe(20)
    expect(shouldRetry(error)).toBe(false)
    const reserved = await failing(clock, attemptDeadline({ attemptMs: 30, reserveMs: 10 })(hang), 20)
    expect(reserved.at).toBe(10)
    expect(shouldRetry(reserved.error)).toBe(false)
  })
})

describe('the options', () => {
  it('are checked when the middleware is made', () => {
    const number = (name: string, got: string): string =>
      `Expected \`${name}\` to be a number above 0 to 2147483647, got ${got}`
    expect(() => deadline({ totalMs: 0 })).toThrow(number('totalMs', '0'))
    expect(() => deadline({ totalMs: Infinity })).toThrow(number('totalMs', 'Infinity'))
    expect(() => deadline({} as never)).toThrow(number('totalMs', 'undefined'))
    expect(() => attemptDeadline({ attemptMs: Number.NaN })).toThrow(number('attemptMs', 'NaN'))
    expect(() => attemptDeadline({ attemptMs: 2 ** 31 })).toThrow(number('attemptMs', '2147483648'))
    expect(() => deadline({ totalMs: 1, reserveMs: -1 })).toThrow(
      'Expected `reserveMs` to be a number from 0 up',
    )
    expect(() => deadline({ totalMs: 1, minUsefulMs: -1 })).toThrow('Expected `minUsefulMs`')
    expect(() => deadline({ totalMs: 1, name: '' })).toThrow('Expected `name`')
    expect(() => deadline({ totalMs: 1, attemptMs: 1 } as never)).toThrow(
      'deadline has no option `attemptMs`',
    )
  })

  it('name the part', () => {
    expect(partsOf(chain(deadline({ totalMs: 1, name: 'page' }), attemptDeadline({ attemptMs: 1 })))).toEqual(
      [
        { kind: 'deadline', name: 'page' },
        { kind: 'attempt-deadline', name: 'attempt-deadline' },
      ],
    )
  })
})
