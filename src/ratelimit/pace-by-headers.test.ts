import { describe, expect, it, vi } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { isRejection, Rejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { rateLimitHeaders } from './header-fields.ts'
import type { Limiter } from './limiter.ts'
import { type PaceByHeadersOptions, paceByHeaders } from './pace-by-headers.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'

type Answer = { status: number; headers: Headers | Record<string, string> }

/** A server that limits, a client that calls it, and a clock that both go by. */
function make(limiter: Limiter, options: PaceByHeadersOptions = {}, latencyMs = 0) {
  const clock = manualClock()
  const context = createContext({ clock })
  const start = clock.now()
  const log: string[] = []
  const server = async (label: string): Promise<Answer> => {
    const decision = limiter.take('client', 1, clock.now())
    log.push(`${label} ${decision.allowed ? 'at' : 'refused at'} ${clock.now() - start}`)
    const headers = new Headers(rateLimitHeaders(decision, limiter.policies()))
    for (const end = clock.now() + latencyMs; clock.now() < end; ) await new Promise(setImmediate)
    return { status: decision.allowed ? 200 : 429, headers }
  }
  const call = paceByHeaders(options)(server)
  return { clock, context, log, call }
}

describe('paceByHeaders', () => {
  it('goes as fast as it likes while there is plenty, and keeps from being refused when there is not', async () => {
    const { clock, context, log, call } = make(slidingWindow({ limit: 10, windowMs: 10_000 }), {
      maxWaitMs: Infinity,
    })
    const calls: Promise<Answer>[] = []
    const client = async () => {
      for (let i = 1; i <= 25; i++) {
        const answer = call(`${i}`, context)
        calls.push(answer)
        await answer
      }
    }
    const done = client()
    await clock.advance(60_000)
    await done
    expect(log).toHaveLength(25)
    expect(log.filter(line => line.includes('refused'))).toEqual([])
    expect(log.slice(0, 5).every(line => line.endsWith(' at 0'))).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('does not go before the time that a refusal names', async () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 1 })
    const { clock, context, log, call } = make(limiter)
    limiter.take('client', 1, clock.now())
    await call('a', context)
    const waiting = call('b', context)
    await clock.advance(999)
    expect(log).toEqual(['a refused at 0'])
    await clock.advance(1)
    await waiting
    expect(log).toEqual(['a refused at 0', 'b at 1000'])
  })

  it('spreads what is left over the time until there is more', async () => {
    const { clock, context } = make(tokenBucket({ ratePerSecond: 1 }))
    const went: number[] = []
    const answer = { headers: { ratelimit: '"x";r=5;t=10', 'ratelimit-policy': '"x";q=100;w=60' } }
    const call = paceByHeaders()(async () => {
      went.push(clock.now() - 1_000_000)
      return answer
    })
    await call(undefined, context)
    const calls = [1, 2, 3].map(() => call(undefined, context))
    await clock.advance(10_000)
    await Promise.all(calls)
    // The first of them goes at once; from then on one is on its way when the next is counted.
    expect(went.slice(0, 2)).toEqual([0, 0])
    expect(went[2]! - went[1]!).toBeGreaterThanOrEqual(2000)
    expect(went[3]! - went[2]!).toBeGreaterThanOrEqual(2000)
  })

  it('refuses at once what would wait for too long, or past its deadline, or in too long a line', async () => {
    const refused = { headers: { 'retry-after': '5' } }
    const { clock, context } = make(tokenBucket({ ratePerSecond: 1 }))
    const call = paceByHeaders({ maxWaitMs: 6000, maxQueue: 1, name: 'github' })(async () => refused)
    await call(undefined, context)
    const short = openContext({ parent: context, timeoutMs: 1000 })
    const error = await call(undefined, short.context).catch(error => error)
    expect(error).toMatchObject({
      reason: 'rate-limited',
      policy: 'github',
      retry: 'later',
      retryAfterMs: 4000,
    })
    short.close()
    const waiting = call(undefined, context)
    const third = await call(undefined, context).catch(error => error)
    expect(isRejection(third, 'rate-limited')).toBe(true)
    await clock.advance(5000)
    await waiting
    const impatient = paceByHeaders({ maxWaitMs: 4000 })(async () => refused)
    await impatient(undefined, context)
    expect(await impatient(undefined, context).catch(error => error)).toMatchObject({ retryAfterMs: 1000 })
  })

  it('lets a call that is cancelled leave the line', async () => {
    const { clock, context } = make(tokenBucket({ ratePerSecond: 1 }))
    const call = paceByHeaders()(async () => ({ headers: { 'retry-after': '5' } }))
    await call(undefined, context)
    const open = openContext({ parent: context })
    const waiting = call(undefined, open.context).catch(error => error.reason)
    expect(clock.armed).toBe(1)
    open.cancel()
    expect(await waiting).toBe('cancelled')
    expect(clock.armed).toBe(0)
  })

  it('keeps servers apart by key, and only so many', async () => {
    const { context, clock } = make(tokenBucket({ ratePerSecond: 1 }))
    const call = paceByHeaders<string>({ key: host => host, maxKeys: 2, maxWaitMs: 0 })(async () => ({
      headers: { 'retry-after': '5' },
    }))
    await call('a', context)
    await call('b', context)
    await expect(call('a', context)).rejects.toThrow(/rate-limited/)
    // Both are in use, so those that come now share one.
    await call('c', context)
    await expect(call('d', context)).rejects.toThrow(/rate-limited/)
    await clock.advance(5000)
    await call('e', context)
    await call('a', context)
  })

  it('listens to errors that say when to come back, and not to refusals of our own', async () => {
    const { context } = make(tokenBucket({ ratePerSecond: 1 }))
    const outcomes: Error[] = [
      new Rejection({ reason: 'breaker-open', policy: 'x', retry: 'later', retryAfterMs: 5000 }) as never,
      new Error('plain'),
      new Rejection({ reason: 'rate-limited', policy: 'x', retry: 'later', retryAfterMs: 5000 }) as never,
    ]
    const seen: unknown[] = []
    const call = paceByHeaders({ maxWaitMs: 0 })(() => {
      throw outcomes[seen.length]
    })
    for (let i = 0; i < 4; i++) seen.push(await call(undefined, context).catch(error => error))
    expect(seen.slice(0, 3)).toEqual(outcomes)
    expect(seen[3]).toMatchObject({ policy: 'pace-by-headers' })
  })

  it('does nothing where answers say nothing', async () => {
    const { context } = make(tokenBucket({ ratePerSecond: 1 }))
    for (const answer of [undefined, 7, {}, { headers: null }, { headers: { ratelimit: ['x'] } }]) {
      const call = paceByHeaders({ maxWaitMs: 0 })(async () => answer)
      for (let i = 0; i < 3; i++) expect(await call(undefined, context)).toBe(answer)
    }
  })

  it('loses no answer, and leaves no rejection to nobody, when its fields cannot be read', async () => {
    const { context } = make(tokenBucket({ ratePerSecond: 1 }))
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const fields = () => {
      throw new Error('no fields')
    }
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const call = paceByHeaders({ fields, maxWaitMs: 0 })(async () => 'answer')
    for (let i = 0; i < 3; i++) expect(await call(undefined, context)).toBe('answer')
    await new Promise(resolve => setImmediate(resolve))
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
    expect(warned).toHaveBeenCalledOnce()
    warned.mockRestore()
  })

  it('reads fields in the way that it is told', async () => {
    const { context } = make(tokenBucket({ ratePerSecond: 1 }))
    const fields = (answer: Map<string, string>) => (name: string) => answer.get(name)
    const call = paceByHeaders({ fields, maxWaitMs: 0 })(async () => new Map([['retry-after', '1']]))
    await call(undefined, context)
    await expect(call(undefined, context)).rejects.toThrow(/rate-limited/)
    expect(() => paceByHeaders({ spreadBelow: 2 })).toThrow(/spreadBelow/)
    expect(() => paceByHeaders({ maxWait: 2 } as never)).toThrow(/no option/)
  })
})
