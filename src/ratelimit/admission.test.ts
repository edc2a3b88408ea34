import { afterEach, describe, expect, it } from 'vitest'
import { collectAnswerFields } from '../core/answer-fields.ts'
import { type Context, rootContext } from '../core/context.ts'
import { Rejection } from '../core/rejection.ts'
import { Admission, type Ticket } from './admission.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import type { Decision } from './limiter.ts'
import type { RateLimitOptions } from './rate-limit.ts'
import { decisionOf } from './refusal.ts'
import { type LimitEvent, limitDenied, limitNear, limitShadowed } from './signals.ts'

/** Takes `cost` of 10 in a second, for `key`, and has it judged. */
function desk(options: RateLimitOptions = {}) {
  const limiter = fixedWindow({ limit: 10, windowMs: 1000, name: 'w' })
  const admission = new Admission(limiter, 'desk', options)
  return (cost: number, now: number, context: Context = rootContext): Ticket | Rejection =>
    admission.judge(limiter.take('ann', cost, now), 'ann', cost, now, 'ask', context)
}

const stops: (() => void)[] = []
afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

/** What is told from here on. */
function listen(): [string, number][] {
  const told: [string, number][] = []
  const on = (name: string) => (event: LimitEvent) => told.push([name, event.cost])
  stops.push(limitDenied.on(on('denied')), limitShadowed.on(on('shadowed')), limitNear.on(on('near')))
  return told
}

describe('an admission', () => {
  it('finds key and cost: given, computed, or one call on the limit that all share', () => {
    const limiter = fixedWindow({ limit: 10, windowMs: 1000 })
    const plain = new Admission(limiter, 'w', {})
    expect([plain.keyOf('ann', rootContext), plain.costOf('ann', rootContext)]).toEqual(['', 1])
    const asked = new Admission(limiter, 'w', {
      key: (who: string) => (who === '' ? undefined : `k-${who}`),
      cost: (who: string) => who.length,
    })
    expect([asked.keyOf('ann', rootContext), asked.costOf('ann', rootContext)]).toEqual(['k-ann', 3])
    expect(asked.keyOf('', rootContext)).toBe('')
    expect(new Admission(limiter, 'w', { cost: 0 }).costOf('ann', rootContext)).toBe(0)
  })

  it('gives back for the outcomes named, and settles only if there is something to give back or release', () => {
    const limiter = fixedWindow({ limit: 10, windowMs: 1000 })
    const refunding = new Admission(limiter, 'w', { refundOn: ['refused', 'cancelled'] })
    expect(refunding.settles).toBe(true)
    expect((['success', 'refused', 'timeout', 'cancelled'] as const).map(o => refunding.refunds(o))).toEqual([
      false,
      true,
      false,
      true,
    ])
    expect(new Admission(limiter, 'w', {}).settles).toBe(false)
    expect(new Admission(concurrency({ limit: 1 }), 'c', {}).settles).toBe(true)
  })

  it('makes a ticket, near when no more than the ratio is left, and tells of that', () => {
    const told = listen()
    const judge = desk({ nearRatio: 0.2 })
    expect(judge(7, 50)).toMatchObject({ key: 'ann', cost: 7, takenAt: 50, taken: true, near: false })
    expect(told).toEqual([])
    expect(judge(1, 60)).toMatchObject({ taken: true, near: true, decision: { remaining: 2 } })
    expect(told).toEqual([['near', 1]])
  })

  it('makes a refusal whose wait is never shorter than the decision’s, and longer by the jitter', () => {
    const told = listen()
    for (const [random, ratio, waitMs] of [
      [0, 0.5, 600],
      [0.5, 0.5, 750],
      [0.5, undefined, 630],
      [0.5, 0, 600],
    ] as const) {
      const judge = desk({ random: () => random, ...(ratio !== undefined && { retryJitterRatio: ratio }) })
      judge(9, 0)
      const refusal = judge(2, 400) as Rejection
      expect(refusal).toBeInstanceOf(Rejection)
      expect(refusal).toMatchObject({ reason: 'rate-limited', policy: 'w', retry: 'later' })
      expect(refusal.retryAfterMs).toBeCloseTo(waitMs, 9)
      expect(decisionOf(refusal)?.retryAfterMs).toBe(600)
    }
    expect(told.filter(([name]) => name === 'denied')).toEqual(Array(4).fill(['denied', 2]))
    expect(desk()(11, 0)).toMatchObject({ retry: 'never', retryAfterMs: undefined })
  })

  it('lets everything through when it only watches, and knows that nothing was taken', () => {
    const told = listen()
    const decisions: Decision[] = []
    const judge = desk({ shadow: true, onDecision: decision => decisions.push(decision) })
    expect(judge(8, 0)).toMatchObject({ taken: true, decision: { shadowed: false } })
    expect(judge(3, 0)).toMatchObject({ taken: false, decision: { allowed: true, shadowed: true } })
    expect(told).toEqual([['shadowed', 3]])
    expect(decisions.map(({ shadowed }) => shadowed)).toEqual([false, true])
  })

  it('adds the fields to an answer, of a refusal too, unless told not to', () => {
    const granted = collectAnswerFields(rootContext)
    const denied = collectAnswerFields(rootContext)
    const judge = desk()
    judge(6, 0, granted.context)
    judge(6, 0, denied.context)
    expect(Object.fromEntries(granted.fields)).toEqual({
      ratelimit: '"w";r=4;t=1',
      'ratelimit-policy': '"w";q=10;w=1',
    })
    expect(denied.fields.get('ratelimit')).toBe('"w";r=4;t=1')
    const silent = collectAnswerFields(rootContext)
    desk({ headers: false })(6, 0, silent.context)
    expect(silent.fields.size).toBe(0)
  })
})
