import { describe, expect, it } from 'vitest'
import { adviceIn } from './advice.ts'

const advice = (fields: Record<string, string>): unknown => adviceIn(name => fields[name])

describe('advice in the fields of an answer', () => {
  it.each<[Record<string, string>, unknown]>([
    [{}, undefined],
    [{ 'x-should-retry': 'false', 'retry-after': '1' }, { retry: 'never' }],
    [{ 'x-should-retry': 'true' }, undefined],
    [{ 'finagle-http-nonretryable-nack': 'true' }, { retry: 'never' }],
    [{ 'finagle-http-nack': 'true' }, { retry: 'elsewhere' }],
    [{ 'x-rejected': 'shed' }, { retry: 'elsewhere' }],
    [{ 'retry-after': '2' }, { retry: 'later', retryAfterMs: 2_000 }],
    [
      { 'retry-after': '2', 'retry-after-ms': '1200' },
      { retry: 'later', retryAfterMs: 1_200 },
    ],
    [{ 'retry-after': '99999999999' }, { retry: 'later', retryAfterMs: 2 ** 31 - 1 }],
    [{ 'retry-after': '-1' }, undefined],
    [{ 'retry-after': '1.5' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after-ms': '1e3' }, undefined],
  ])('%j says %j', (fields, expected) => {
    expect(advice(fields)).toEqual(expected)
  })

  it('measures a date against the date of the answer, not against a clock of its own', () => {
    const date = 'Sun, 06 Nov 1994 08:49:37 GMT'
    const later = 'Sun, 06 Nov 1994 08:49:40 GMT'
    expect(advice({ date, 'retry-after': later })).toEqual({ retry: 'later', retryAfterMs: 3_000 })
    expect(advice({ date: later, 'retry-after': date })).toEqual({ retry: 'later', retryAfterMs: 0 })
    expect(advice({ 'retry-after': later })).toBeUndefined()
  })
})
