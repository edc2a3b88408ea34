import { describe, expect, it } from 'vitest'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { quotaProblem, rateLimitField, rateLimitHeaders, rateLimitPolicyField } from './header-fields.ts'
import { retryAfterIn, serverLimits } from './header-parse.ts'
import type { Decision } from './limiter.ts'
import { tokenBucket } from './token-bucket.ts'
import { unlimited } from './unlimited.ts'

const window = (limit: number, windowMs: number, name = 'w') => fixedWindow({ limit, windowMs, name })

describe('rateLimitHeaders', () => {
  it('says what is left, when all is back, and what is promised', () => {
    const limiter = window(100, 60_000, 'per-caller')
    limiter.take('a', 1, 0)
    expect(rateLimitHeaders(limiter.take('a', 57, 10_500), limiter.policies())).toEqual({
      ratelimit: '"per-caller";r=42;t=50',
      'ratelimit-policy': '"per-caller";q=100;w=60',
    })
  })

  it('asks to retry not before the call would be granted', () => {
    const limiter = tokenBucket({ ratePerSecond: 1, burst: 2 })
    limiter.take('a', 2, 0)
    const fields = rateLimitHeaders(limiter.take('a', 1, 1), limiter.policies())
    expect(fields).toMatchObject({ ratelimit: '"token-bucket";r=0;t=2', 'retry-after': '1' })
    limiter.block('a', 9_500, 1)
    expect(rateLimitHeaders(limiter.take('a', 1, 1), limiter.policies())).toMatchObject({
      ratelimit: '"token-bucket";r=0;t=10',
      'retry-after': '10',
    })
    expect(rateLimitHeaders(limiter.take('b', 3, 1), limiter.policies())['retry-after']).toBeUndefined()
  })

  it('lists several limits', () => {
    const limiter = all(window(5, 1000, 'second'), window(50, 60_000, 'minute'), concurrency({ limit: 3 }))
    const fields = rateLimitHeaders(limiter.take('a', 1, 0), limiter.policies())
    expect(fields).toEqual({
      ratelimit: '"second";r=4;t=1, "minute";r=49;t=60, "concurrency";r=2',
      'ratelimit-policy': '"second";q=5;w=1, "minute";q=50;w=60, "concurrency";q=3;qu="concurrent-requests"',
    })
  })

  it('promises no more than is granted in windows below a second', () => {
    expect(rateLimitPolicyField(window(5, 100).policies())).toBe('"w";q=5;w=1')
    expect(rateLimitPolicyField(window(5, 1500).policies())).toBe('"w";q=5;w=2')
  })

  it('keeps to what a field may hold', () => {
    const odd = window(1, 1000, 'say "hi"\\ ünïcode\r\nx: y')
    const text = rateLimitField(odd.take('a', 1, 0))
    expect(text).toBe('"say \\"hi\\"\\\\ ?n?code??x: y";r=0;t=1')
    expect(rateLimitField({ ...odd.peek('a', 1, 0), remaining: 2 ** 60 })).toContain(';r=999999999999999;')
    expect(rateLimitHeaders(unlimited().take('a'), [])).toEqual({})
    expect(rateLimitField({ ...odd.peek('a', 1, 0), resetAfterMs: Infinity })).not.toContain('Infinity')
  })
})

describe('quotaProblem', () => {
  it('names the limits that refused, and whose fault it is', () => {
    const limiter = all(window(1, 1000, 'second'), window(50, 60_000, 'minute'))
    limiter.take('a', 1, 0)
    const denied = limiter.take('a', 1, 0)
    expect(quotaProblem(denied)).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      'violated-policies': ['second'],
    })
    const closed: Decision = { ...denied, source: 'closed', parts: undefined }
    expect(quotaProblem(closed)).toMatchObject({
      status: 503,
      type: expect.stringContaining('#temporary-reduced-capacity'),
    })
  })
})

describe('serverLimits', () => {
  const read = (fields: Record<string, string>) => (name: string) => fields[name]

  it('reads what rateLimitHeaders writes', () => {
    const limiter = all(window(5, 1000, 'a "b"'), window(50, 60_000, 'c'))
    const fields = rateLimitHeaders(limiter.take('k', 2, 0), limiter.policies())
    expect(serverLimits(read(fields))).toEqual([
      { remaining: 3, resetMs: 1000, quota: 5 },
      { remaining: 48, resetMs: 60_000, quota: 50 },
    ])
  })

  it('reads the fields with other parameters, and those of an earlier draft', () => {
    expect(serverLimits(read({ ratelimit: '"a";pk=:QUJD:;r=3;t=7;x="y;r=9"' }))).toEqual([
      { remaining: 3, resetMs: 7000, quota: undefined },
    ])
    expect(
      serverLimits(read({ 'ratelimit-limit': '10', 'ratelimit-remaining': '4', 'ratelimit-reset': '5' })),
    ).toEqual([{ remaining: 4, resetMs: 5000, quota: 10 }])
  })

  it('passes over what makes no sense', () => {
    for (const text of [
      '',
      'r=1;t=2',
      '"a"',
      '"a";r=x;t=2',
      '"a";r=-1;t=2',
      '"a";r=1.5;t=2',
      '"a;r=1;t=2',
      '"'.repeat(9999),
    ]) {
      expect(serverLimits(read({ ratelimit: text }))).toEqual([])
    }
    expect(serverLimits(read({ ratelimit: '"a";r=1;t=99999999999' }))[0]!.resetMs).toBe(2 ** 31 - 1)
    expect(serverLimits(() => null)).toEqual([])
  })
})

describe('retryAfterIn', () => {
  const read = (fields: Record<string, string>) => (name: string) => fields[name]

  it('reads seconds, milliseconds, and a date by the answer’s own date', () => {
    expect(retryAfterIn(read({ 'retry-after': '7' }))).toBe(7000)
    expect(retryAfterIn(read({ 'retry-after': '7', 'retry-after-ms': '6100' }))).toBe(6100)
    const date = 'Sun, 06 Nov 1994 08:49:37 GMT'
    const later = 'Sun, 06 Nov 1994 08:50:07 GMT'
    expect(retryAfterIn(read({ 'retry-after': later, date }))).toBe(30_000)
    expect(retryAfterIn(read({ 'retry-after': date, date: later }))).toBe(0)
    expect(retryAfterIn(read({ 'retry-after': later }))).toBeUndefined()
  })

  it('passes over what makes no sense', () => {
    for (const text of ['', '-1', '1.5', 'soon', '1e9', '2026', 'Sun, 99 Foo 1994 99:99:99 GMT']) {
      const got = retryAfterIn(read({ 'retry-after': text, date: 'Sun, 06 Nov 1994 08:49:37 GMT' }))
      if (text === '2026') expect(got).toBe(2_026_000)
      else expect(got).toBeUndefined()
    }
  })
})
