import { describe, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { createContext, openContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { manualClock } from '../testing/manual-clock.ts'
import type { Decision } from './limiter.ts'
import { type PacerOptions, pacer } from './pacer.ts'
import { rateLimit } from './rate-limit.ts'

function make(options: Partial<PacerOptions> = {}) {
  const clock = manualClock()
  const context = createContext({ clock })
  const limiter = pacer({ ratePerSecond: 10, clock, ...options })
  const start = clock.now()
  const went: string[] = []
  /** Asks, and notes when the call may go. */
  const ask = (label: string, key = '', cost = 1, within = context): void => {
    const answer = limiter.take(key, cost, within)
    const note = (decision: Decision): void => {
      went.push(`${label}${decision.allowed ? '' : ' denied'} at ${clock.now() - start}`)
    }
    if (answer instanceof Promise) answer.then(note, error => went.push(`${label} ${error.reason}`))
    else note(answer)
  }
  return { clock, context, limiter, ask, went }
}

describe('pacer', () => {
  it('lets calls go at its pace, in the order in which they came', async () => {
    const { clock, ask, went } = make()
    for (const label of ['a', 'b', 'c']) ask(label)
    expect(went).toEqual(['a at 0'])
    await clock.advance(1000)
    ask('d')
    ask('e')
    await clock.advance(1000)
    expect(went).toEqual(['a at 0', 'b at 100', 'c at 200', 'd at 1000', 'e at 1100'])
    expect(clock.armed).toBe(0)
  })

  it('lets a burst go after a rest, and large costs take their time', async () => {
    const { clock, ask, went } = make({ burst: 4 })
    ask('a', '', 3)
    ask('b', '', 4)
    ask('c')
    await clock.advance(1000)
    expect(went).toEqual(['a at 0', 'b at 300', 'c at 400'])
  })

  it('paces each key by itself, with one alarm for each that somebody waits on', async () => {
    const { clock, ask, went, limiter } = make()
    for (let i = 0; i < 5; i++) for (const key of ['x', 'y']) ask(`${key}${i}`, key)
    expect(clock.armed).toBe(2)
    expect(limiter.snapshot()).toMatchObject({ waiting: 8, lines: 2, allowed: 2 })
    await clock.advance(100)
    expect(went).toEqual(['x0 at 0', 'y0 at 0', 'x1 at 100', 'y1 at 100'])
    expect(clock.armed).toBe(2)
  })

  it('lets whoever stops waiting go at once, moves the others up, and gives his turn to the next', async () => {
    const { clock, context, ask, went, limiter } = make()
    const open = openContext({ parent: context })
    ask('a')
    ask('b', '', 1, open.context)
    ask('c')
    open.cancel()
    await clock.flush()
    expect(went).toEqual(['a at 0', 'b cancelled'])
    expect(limiter.snapshot()).toMatchObject({ waiting: 1, abandoned: 1 })
    await clock.advance(100)
    expect(went.at(-1)).toBe('c at 100')
    expect(clock.armed).toBe(0)
    expect(limiter.snapshot().lines).toBe(0)
  })

  it('denies at once what would wait for too long, and says when it would not', async () => {
    const { clock, ask, went, limiter, context } = make({ maxWaitMs: 200 })
    for (let i = 0; i < 4; i++) ask(`${i}`)
    expect(went).toEqual(['0 at 0', '3 denied at 0'])
    expect(limiter.peek('', 1, context)).toMatchObject({ allowed: false, retryAfterMs: 100 })
    await clock.advance(99.999)
    expect((limiter.peek('', 1, context) as Decision).allowed).toBe(false)
    await clock.advance(0.001)
    expect((limiter.peek('', 1, context) as Decision).allowed).toBe(true)
  })

  it('fails a call whose deadline is shorter than the wait without making it wait', async () => {
    const { clock, context, ask, went } = make()
    ask('a')
    ask('b')
    const short = openContext({ parent: context, timeoutMs: 150 })
    ask('c', '', 1, short.context)
    expect(went).toEqual(['a at 0', 'c denied at 0'])
    short.close()
    await clock.advance(100)
    expect(clock.armed).toBe(0)
  })

  it('lets no more wait than it was told', async () => {
    const { clock, ask, went } = make({ maxQueue: 2 })
    for (let i = 0; i < 5; i++) ask(`${i}`)
    expect(went).toEqual(['0 at 0', '3 denied at 0', '4 denied at 0'])
    ask('other key', 'k')
    expect(went.at(-1)).toBe('other key at 0')
    await clock.advance(200)
    expect(went.slice(-2)).toEqual(['1 at 100', '2 at 200'])
  })

  it('makes up for a late timer, but not for a long stall', async () => {
    const { clock, ask, went } = make({ ratePerSecond: 1000, catchUpMs: 5 })
    for (let i = 0; i < 20; i++) ask(`${i}`)
    clock.jump(4)
    await clock.advance(0)
    expect(went.length).toBe(5)
    clock.jump(100)
    await clock.advance(0)
    // Five that are made up for, and the one whose turn it is.
    expect(went.length).toBe(11)
    await clock.advance(1)
    expect(went.length).toBe(12)
  })

  it('denies for ever what costs more than its burst', () => {
    const { ask, went, limiter, context } = make()
    ask('a', '', 2)
    expect(went).toEqual(['a denied at 0'])
    expect(limiter.peek('', 2, context)).toMatchObject({ retryAfterMs: Infinity })
    expect(() => limiter.take('', -1)).toThrow(/cost/)
    expect(() => limiter.take(undefined as never)).toThrow(/key/)
  })

  it('lets a cost of 0 go at once, unless the key is blocked', () => {
    const { ask, went, limiter } = make()
    ask('a')
    ask('b')
    ask('c', '', 0)
    limiter.block('', 50)
    ask('d', '', 0)
    expect(went).toEqual(['a at 0', 'c at 0', 'd denied at 0'])
  })

  it('takes in refunds, charges, blocks and new settings while calls wait', async () => {
    const { clock, ask, went, limiter } = make()
    ask('a')
    ask('b')
    limiter.refund('', 1)
    await clock.flush()
    expect(went.at(-1)).toBe('b at 0')
    limiter.charge('', 1)
    ask('c')
    await clock.advance(199)
    expect(went.at(-1)).toBe('b at 0')
    await clock.advance(1)
    expect(went.at(-1)).toBe('c at 200')
    limiter.block('', 500)
    ask('d')
    await clock.advance(499)
    expect(went.at(-1)).toBe('c at 200')
    await clock.advance(1)
    expect(went.at(-1)).toBe('d at 700')
    ask('e')
    ask('f')
    limiter.update({ ratePerSecond: 20 })
    expect(() => limiter.update({ ratePerSecond: -1 })).toThrow(/ratePerSecond/)
    await clock.advance(100)
    expect(went.slice(-2)).toEqual(['e at 750', 'f at 800'])
    ask('g')
    ask('h')
    limiter.reset()
    await clock.advance(50)
    expect(went.slice(-2)).toEqual(['g at 800', 'h at 850'])
    expect(limiter.policies()).toEqual([{ name: 'pacer', quota: 1, windowMs: 50 }])
  })

  it('makes nobody wait whose call has ended', async () => {
    const { context, ask, went, clock } = make()
    const open = openContext({ parent: context })
    ask('a')
    open.cancel()
    ask('b', '', 1, open.context)
    await clock.flush()
    expect(went).toEqual(['a at 0', 'b cancelled'])
  })

  it('makes the calls of rateLimit() wait for their turn', async () => {
    const { clock, context, limiter } = make({ maxWaitMs: 100 })
    const call = rateLimit(limiter)(async (n: number) => `${n} at ${clock.now() - 1_000_000}`)
    const calls = [1, 2, 3].map(n => call(n, context).catch(error => isRejection(error, 'rate-limited')))
    await clock.advance(100)
    expect(await Promise.all(calls)).toEqual(['1 at 0', '2 at 100', true])
  })

  it('keeps its rate on a real clock, whose timers are late', async () => {
    const limiter = pacer({ ratePerSecond: 500, maxQueue: 100 })
    const started = systemClock.now()
    await Promise.all(Array.from({ length: 51 }, () => limiter.take('')))
    const took = systemClock.now() - started
    expect(took).toBeGreaterThanOrEqual(100 - 10 - 1)
  })
})
