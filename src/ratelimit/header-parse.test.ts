import { describe, expect, it } from 'vitest'
import { retryAfterIn, serverLimits } from './header-parse.ts'

const limitsIn = (fields: Record<string, string>) => serverLimits(name => fields[name])
const retryIn = (fields: Record<string, string>) => retryAfterIn(name => fields[name])
const longest = 2 ** 31 - 1

describe('serverLimits', () => {
  it('joins each limit with the policy of its name, in any order and spacing', () => {
    expect(
      limitsIn({
        ratelimit: '"minute" ; t=30;r=0 , "hour";r=900; t=1800',
        'ratelimit-policy': '"day";q=9999;w=86400, "hour";w=3600;q=1000',
      }),
    ).toEqual([
      { remaining: 0, resetMs: 30_000, quota: undefined },
      { remaining: 900, resetMs: 1_800_000, quota: 1000 },
    ])
  })

  it('passes over the limit that makes no sense, and reads the one beside it', () => {
    const good = [{ remaining: 3, resetMs: 7000, quota: undefined }]
    for (const bad of ['"a"', '"a";r=1', '"a";t=2', '"a";r=-1;t=2', '"a";r=1.5;t=2', '"a";r="1";t=2']) {
      expect(limitsIn({ ratelimit: `${bad}, "b";r=3;t=7` })).toEqual(good)
    }
  })

  it('is not misled by what stands in quotes', () => {
    expect(limitsIn({ ratelimit: '"a, \\";r=1;t=1";r=2;t=5;x="y, z;r=9;t=9"' })).toEqual([
      { remaining: 2, resetMs: 5000, quota: undefined },
    ])
  })

  it('reads the separate fields only if the joint one says nothing, and only both together', () => {
    const separate = { 'ratelimit-limit': '10', 'ratelimit-remaining': '4', 'ratelimit-reset': '5' }
    const read = [{ remaining: 4, resetMs: 5000, quota: 10 }]
    expect(limitsIn(separate)).toEqual(read)
    expect(limitsIn({ ...separate, ratelimit: '"a";r=x;t=1' })).toEqual(read)
    expect(limitsIn({ ...separate, ratelimit: '"a";r=1;t=1' })).toMatchObject([{ remaining: 1 }])
    expect(limitsIn({ ...separate, 'ratelimit-limit': '10, 10;w=1' })).toMatchObject([{ quota: undefined }])
    expect(limitsIn({ ...separate, 'ratelimit-reset': '5s' })).toEqual([])
    expect(limitsIn({ ...separate, 'ratelimit-remaining': '' })).toEqual([])
  })

  it('keeps waits to what a timer can hold, and numbers to fifteen digits', () => {
    expect(limitsIn({ ratelimit: '"a";r=1;t=2147483' })[0]!.resetMs).toBe(2_147_483_000)
    expect(limitsIn({ ratelimit: '"a";r=1;t=2147484' })[0]!.resetMs).toBe(longest)
    expect(limitsIn({ ratelimit: '"a";r=999999999999999;t=1' })[0]!.remaining).toBe(999_999_999_999_999)
    expect(limitsIn({ ratelimit: '"a";r=1000000000000000;t=1' })).toEqual([])
  })
})

describe('retryAfterIn', () => {
  const date = 'Sun, 06 Nov 1994 08:49:37 GMT'

  it('takes milliseconds before seconds, unless they make no sense', () => {
    expect(retryIn({ 'retry-after-ms': '6100', 'retry-after': '7' })).toBe(6100)
    expect(retryIn({ 'retry-after-ms': '6.1', 'retry-after': '7' })).toBe(7000)
    expect(retryIn({ 'retry-after': '0' })).toBe(0)
    expect(retryIn({})).toBeUndefined()
  })

  it('measures a date against the date of the answer, never below 0 or above a timer', () => {
    expect(retryIn({ date, 'retry-after': 'Sun, 06 Nov 1994 08:50:07 GMT' })).toBe(30_000)
    expect(retryIn({ date, 'retry-after': 'Sun, 06 Nov 1994 08:49:36 GMT' })).toBe(0)
    expect(retryIn({ date, 'retry-after': 'Tue, 06 Dec 1994 08:49:37 GMT' })).toBe(longest)
    expect(retryIn({ 'retry-after': date })).toBeUndefined()
    expect(retryIn({ date: '1994-11-06', 'retry-after': date })).toBeUndefined()
    expect(retryIn({ 'retry-after-ms': '2147483648' })).toBe(longest)
  })

  it('passes over what is neither seconds nor a date of that one format', () => {
    for (const text of [
      '',
      ' 7',
      '-1',
      '1.5',
      '1e3',
      '0x10',
      '1994-11-06',
      'Sun, 99 Foo 1994 08:49:37 GMT',
    ]) {
      expect(retryIn({ date, 'retry-after': text }), text).toBeUndefined()
    }
  })
})
