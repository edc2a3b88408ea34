/** What each limiter answers to what makes no sense; the Redis modes have the same list beside them. */
import { describe, expect, it } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { gcra } from './gcra.ts'
import { keyedBy } from './keyed-by.ts'
import { leakyBucket } from './leaky-bucket.ts'
import type { AnyLimiter, Decision } from './limiter.ts'
import { pacer } from './pacer.ts'
import { plans } from './plans.ts'
import { shadow } from './shadow.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'
import { unlimited } from './unlimited.ts'
import { warmUp } from './warm-up.ts'

const clock = manualClock()
const window = (limit: number, name?: string) =>
  fixedWindow({ limit, windowMs: 1000, clock, ...(name !== undefined && { name }) })

/** Every kind, with a limit of 5. */
const kinds: Record<string, () => AnyLimiter> = {
  tokenBucket: () => tokenBucket({ ratePerSecond: 5, clock }),
  leakyBucket: () => leakyBucket({ leakPerSecond: 5, clock }),
  gcra: () => gcra({ limit: 5, periodMs: 1000, clock }),
  fixedWindow: () => window(5),
  slidingWindow: () => slidingWindow({ limit: 5, windowMs: 1000, clock }),
  slidingLog: () => slidingLog({ limit: 5, windowMs: 1000, clock }),
  warmUp: () => warmUp({ ratePerSecond: 5, warmUpMs: 1000, clock }),
  concurrency: () => concurrency({ limit: 5, clock }),
  pacer: () => pacer({ ratePerSecond: 5, burst: 5, clock }),
  all: () => all(window(5, 'one'), concurrency({ limit: 5, name: 'two', clock })),
  keyedBy: () => keyedBy(window(5), key => key),
  plans: () => plans({ of: key => key, limits: { gold: window(9, 'gold') }, otherwise: window(5) }),
}
const each = Object.entries(kinds)

const noCosts = [Number.NaN, -1, -0.5, Infinity, -Infinity, 0.5, 2 ** 53, '1', '', null, [], {}, true, 1n]
const noKeys = [undefined, null, 7, Number.NaN, true, {}, [], ['a'], Symbol('s'), () => '']
const oddKeys = ['', '__proto__', 'constructor', 'hasOwnProperty', 'toString', '\0', '\ud800', '{a}b', '🦄']

function said(answer: Decision | Promise<Decision>): Decision {
  if (answer instanceof Promise) throw new Error('Expected an answer at once')
  return answer
}

/** Everything that takes a key and a cost. */
function verbs(limiter: AnyLimiter, key: string, cost: number): (() => unknown)[] {
  return [
    () => limiter.take(key, cost),
    () => limiter.peek(key, cost),
    () => limiter.refund(key, cost),
    () => limiter.charge(key, cost),
    ...(limiter.release === undefined ? [] : [() => limiter.release!(key, cost)]),
  ]
}

describe.each(each)('bad input for %s', (name, make) => {
  it('throws a RangeError for a cost that is no whole number from 0 up, and changes nothing', () => {
    const limiter = make()
    limiter.take('a', 2)
    const before = limiter.snapshot()
    for (const cost of noCosts) {
      for (const verb of verbs(limiter, 'a', cost as number)) expect(verb).toThrow(/cost.*whole number/)
      for (const verb of verbs(limiter, 'a', cost as number)) expect(verb).toThrow(RangeError)
    }
    expect(limiter.snapshot()).toEqual(before)
    expect(said(limiter.peek('a')).remaining).toBe(name === 'warmUp' ? 0 : 3)
  })

  it('throws a TypeError for a key that is no string, and changes nothing', () => {
    const limiter = make()
    const before = limiter.snapshot()
    for (const key of noKeys) {
      for (const verb of verbs(limiter, key as string, 1)) expect(verb).toThrow(TypeError)
      expect(() => limiter.block(key as string, 100)).toThrow(TypeError)
    }
    expect(limiter.snapshot()).toEqual(before)
  })

  it('throws for a block that lasts no time that there is', () => {
    for (const forMs of [Number.NaN, -1, '5', null, undefined]) {
      const limiter = make()
      expect(() => limiter.block('a', forMs as number)).toThrow(/forMs/)
      expect(said(limiter.peek('a')).allowed).toBe(true)
    }
  })

  it('denies for ever what costs more than there can be, and takes nothing for it', () => {
    const limiter = make()
    for (const cost of [6, 1_000_000, Number.MAX_SAFE_INTEGER]) {
      expect(limiter.take('a', cost)).toMatchObject({ allowed: false, retryAfterMs: Infinity, remaining: 5 })
    }
    expect(said(limiter.take('a', 5)).allowed).toBe(true)
  })

  it('survives the greatest charge and the greatest refund', () => {
    const limiter = make()
    limiter.charge('a', Number.MAX_SAFE_INTEGER)
    expect(said(limiter.peek('a')).remaining).toBe(0)
    limiter.refund('a', Number.MAX_SAFE_INTEGER)
    limiter.refund('b', Number.MAX_SAFE_INTEGER)
    for (const key of ['a', 'b']) {
      const { remaining } = said(limiter.peek(key))
      expect(remaining).toBeGreaterThanOrEqual(0)
      expect(remaining).toBeLessThanOrEqual(5)
    }
  })

  it('keeps keys apart that trip up objects used as maps, or are empty, or no text', () => {
    const limiter = make()
    for (const key of oddKeys) expect(said(limiter.take(key, 5)).allowed).toBe(true)
    for (const key of oddKeys) {
      expect(said(limiter.peek(key)).remaining).toBe(0)
      expect(said(limiter.peek(`${key}x`)).remaining).toBe(5)
    }
  })

  it('takes keys of megabytes, apart from each other', () => {
    const limiter = make()
    const long = 'x'.repeat(3_000_000)
    expect(said(limiter.take(long, 5)).allowed).toBe(true)
    expect(said(limiter.peek(long)).remaining).toBe(0)
    for (const other of [`${long}x`, `y${long}`, `${long}y`]) {
      expect(said(limiter.peek(other)).remaining).toBe(5)
    }
  })

  it('throws for settings that make no sense, and keeps those in force', () => {
    const limiter = make()
    for (const change of [{ limt: 1 }, { name: 'other' }, null, 7, 'limit']) {
      expect(() => limiter.update(change as never)).toThrow(TypeError)
    }
    expect(said(limiter.take('a', 5)).allowed).toBe(true)
  })
})

describe('a limit of 0', () => {
  it.each([
    ['tokenBucket', () => tokenBucket({ ratePerSecond: 5, burst: 0 })],
    ['leakyBucket', () => leakyBucket({ leakPerSecond: 5, capacity: 0 })],
    ['gcra', () => gcra({ limit: 5, periodMs: 1000, burst: 0 })],
    ['fixedWindow', () => window(0)],
    ['slidingWindow', () => slidingWindow({ limit: 0, windowMs: 1000 })],
    ['slidingLog', () => slidingLog({ limit: 0, windowMs: 1000 })],
    ['warmUp', () => warmUp({ ratePerSecond: 5, burst: 0, warmUpMs: 1000 })],
    ['concurrency', () => concurrency({ limit: 0 })],
    ['all', () => all(window(5, 'one'), window(0, 'none'))],
  ])('denies everything, for ever, and is not unlimited: %s', (_, make) => {
    const limiter = make()
    for (const cost of [0, 1, 5]) {
      expect(limiter.take('a', cost)).toMatchObject({ allowed: false, retryAfterMs: Infinity, remaining: 0 })
    }
  })

  it('is none for a pacer, which could let nobody go, nor is a rate of 0', () => {
    expect(() => pacer({ ratePerSecond: 5, burst: 0 })).toThrow(/burst/)
    expect(() => pacer({ ratePerSecond: 0 })).toThrow(/ratePerSecond/)
    expect(() => tokenBucket({ ratePerSecond: 0 })).toThrow(/ratePerSecond/)
  })
})

it('a limit that only watches lets even that through, and throws for what makes no sense', () => {
  const limiter = shadow(window(0))
  expect(limiter.take('a', 7)).toMatchObject({ allowed: true, shadowed: true })
  expect(() => limiter.take('a', Number.NaN)).toThrow(RangeError)
  expect(() => limiter.take(7 as never)).toThrow(TypeError)
  expect(limiter.snapshot().shadowed).toBe(1)
})

it('a limit that is none still tells a cost from what is none', () => {
  const limiter = unlimited()
  expect(limiter.take('a', Number.MAX_SAFE_INTEGER).allowed).toBe(true)
  expect(() => limiter.take('a', -1)).toThrow(RangeError)
  expect(() => limiter.take(7 as never)).toThrow(TypeError)
})

it('another key that is no string is refused before anything is taken', () => {
  const first = window(5, 'first')
  const limiter = all(
    first,
    keyedBy(window(5, 'second'), () => undefined as never),
  )
  expect(() => limiter.take('a')).toThrow(TypeError)
  expect(first.peek('a').remaining).toBe(5)
})
