import { describe, expect, it, vi } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { answeredEarly } from '../core/work.ts'
import { defer } from '../internal/deferred.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { Admission } from './admission.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { type ActualCost, limited } from './limited.ts'
import type { AnyLimiter, RemoteLimiter } from './limiter.ts'
import type { RateLimitOptions } from './rate-limit.ts'

function behind(
  limiter: AnyLimiter,
  options: RateLimitOptions,
  next: Handler<unknown, any>,
  actualCost?: ActualCost<unknown, any>,
): Handler<unknown, any> {
  return limited(new Admission(limiter, 'l', { key: () => 'a', ...options }), limiter, next, actualCost)
}
const window = (limit: number) => fixedWindow({ limit, windowMs: 1000 })

/** A limiter that grants after 30 ms, and fails at all that is told to it afterwards. */
function slow() {
  const inner = window(10)
  const told: unknown[][] = []
  const fail = (...args: unknown[]): Promise<void> => {
    told.push(args)
    return Promise.reject(new Error('out of reach'))
  }
  const limiter = {
    ...{ immediate: false, kind: 'slow', name: 'slow', policies: () => inner.policies() },
    take: async (key: string, cost: number, context: any) => {
      await sleep(context, 30).catch(() => {})
      return inner.take(key, cost, context.clock.now())
    },
    refund: (...args: unknown[]) => fail('refund', ...args),
    charge: (...args: unknown[]) => fail('charge', ...args),
  } as unknown as RemoteLimiter
  return { limiter, told }
}

describe('limited', () => {
  it('charges or gives back the difference to what a good answer did cost', async () => {
    const clock = manualClock()
    const limiter = window(10)
    const call = behind(
      limiter,
      { cost: 4 },
      async used => used,
      used => used,
    )
    const left: number[] = []
    for (const used of [5, 1, 4, -1, 1.5]) {
      limiter.reset()
      expect(await call(used, createContext({ clock }))).toBe(used)
      left.push(limiter.peek('a', 0, clock.now()).remaining)
    }
    expect(left).toEqual([5, 9, 6, 6, 6])
  })

  it('gives nothing back for a call that was let through though the limiter denied it', async () => {
    const clock = manualClock()
    const limiter = window(2)
    const call = behind(
      limiter,
      { cost: 2, shadow: true },
      async () => 'ok',
      () => 0,
    )
    limiter.take('a', 2, clock.now())
    expect(await call(undefined, createContext({ clock }))).toBe('ok')
    expect(limiter.peek('a', 0, clock.now()).remaining).toBe(0)
  })

  it('does not call the handler for what is denied', async () => {
    const clock = manualClock()
    const next = vi.fn(async () => 'ok')
    const call = behind(window(1), { cost: 2 }, next, () => 0)
    const refusal = call(undefined, createContext({ clock }))
    await expect(refusal).rejects.toMatchObject({ reason: 'rate-limited', retry: 'never' })
    expect(next).not.toHaveBeenCalled()
  })

  it('counts what it took from when the grant came, and no failure afterwards spoils the answer', async () => {
    const clock = manualClock({ startMs: 0 })
    const { limiter, told } = slow()
    const used = defer<number>()
    const call = behind(
      limiter,
      { cost: 4 },
      () => used.promise,
      used => used,
    )
    const context = createContext({ clock })
    const answer = call(undefined, context)
    await clock.advance(50)
    used.resolve(1)
    expect(await answer).toBe(1)
    await clock.flush()
    expect(told).toEqual([['refund', 'a', 3, context, 30]])
  })

  it('gives all back, and begins nothing, for a call that ended while it waited', async () => {
    const clock = manualClock({ startMs: 0 })
    const { limiter, told } = slow()
    const next = vi.fn(async () => 1)
    const { context, cancel } = openContext({ clock })
    const answer = behind(limiter, { cost: 4 }, next, () => 2)(undefined, context)
    const reason = new Error('gone')
    await clock.advance(10)
    cancel(reason)
    await expect(answer).rejects.toBe(reason)
    expect(next).not.toHaveBeenCalled()
    expect(told).toEqual([['refund', 'a', 4, context, 10]])
  })

  it('gives the cost back once, whatever the answer did cost, where its outcome is free', async () => {
    const clock = manualClock()
    const limiter = window(10)
    const next = (fails: unknown) => {
      if (fails) throw new Error('no')
      return Promise.resolve('ok')
    }
    const call = behind(limiter, { cost: 4, refundOn: ['success'] }, next, () => 6)
    const context = createContext({ clock })
    limiter.charge('a', 5, clock.now())
    await call(false, context)
    expect(limiter.peek('a', 0, clock.now()).remaining).toBe(5)
    await expect(call(true, context)).rejects.toThrow('no')
    expect(limiter.peek('a', 0, clock.now()).remaining).toBe(1)
  })

  it('holds what was taken until the work is over, though the answer came early, and lets go once', async () => {
    const clock = manualClock()
    const limiter = concurrency({ limit: 5 })
    const release = vi.spyOn(limiter, 'release')
    const work = defer<void>()
    const next = () => {
      const answer = Promise.reject(new Error('late'))
      answeredEarly(answer, work.promise)
      return answer
    }
    const call = behind(limiter, { cost: 2 }, next, () => 2)
    await expect(call(undefined, createContext({ clock }))).rejects.toThrow('late')
    await clock.flush()
    expect(limiter.peek('a', 0, clock.now()).remaining).toBe(3)
    work.reject(new Error('and failed'))
    await clock.flush()
    expect(limiter.peek('a', 0, clock.now()).remaining).toBe(5)
    expect(release).toHaveBeenCalledTimes(1)
  })
})
