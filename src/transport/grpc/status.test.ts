import { Metadata, status } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { advise } from '../../core/advice.ts'
import { type Reason, Rejection, type RetryAdvice } from '../../core/rejection.ts'
import { callStatusOf, noteFromBelow, statusOf, statusOfReason } from './status.ts'
import { decodeRetryInfo } from './status-details.ts'

const reject = (reason: Reason, retry: RetryAdvice, retryAfterMs?: number): Rejection =>
  new Rejection({ reason, policy: 'limit-7', retry, retryAfterMs, detail: 'key 10.0.0.1' })

const grpcError = (code: status, details: string, metadata: Metadata = new Metadata()): Error =>
  Object.assign(new Error(`${code} ${details}`), { code, details, metadata })

describe('a refusal', () => {
  test.each([
    ['rate-limited', status.RESOURCE_EXHAUSTED],
    ['shed', status.UNAVAILABLE],
    ['throttled', status.UNAVAILABLE],
    ['breaker-open', status.UNAVAILABLE],
    ['bulkhead-full', status.UNAVAILABLE],
    ['deadline-exceeded', status.DEADLINE_EXCEEDED],
    ['cancelled', status.CANCELLED],
    ['retries-exhausted', status.UNAVAILABLE],
    ['no-endpoint', status.UNAVAILABLE],
    ['fault-injected', status.UNAVAILABLE],
  ] as const)('for %s has the status %i', (reason, code) => {
    expect(statusOfReason(reason)).toBe(code)
    expect(statusOf(reject(reason, 'never')).code).toBe(code)
  })

  test('says nothing of policies and keys', () => {
    const { details, metadata } = statusOf(reject('rate-limited', 'later', 10), false)
    expect(`${details} ${JSON.stringify(metadata.toJSON())}`).not.toMatch(/limit-7|10\.0\.0\.1/)
  })

  test('of "never" pushes back for good', () => {
    expect(statusOf(reject('retries-exhausted', 'never')).metadata.get('grpc-retry-pushback-ms')).toEqual([
      '-1',
    ])
  })

  test('of "later" names the wait twice, in whole milliseconds, rounded up', () => {
    const { metadata } = statusOf(reject('rate-limited', 'later', 1500.2))
    expect(metadata.get('grpc-retry-pushback-ms')).toEqual(['1501'])
    expect(decodeRetryInfo(metadata.get('grpc-status-details-bin')[0] as Buffer)).toBe(1501)
  })

  test('of a rate limit is RESOURCE_EXHAUSTED with RetryInfo and a pushback, never shorter than the wait', () => {
    for (const waitMs of [0.2, 1, 999.001, 60_000]) {
      const { code, metadata } = statusOf(reject('rate-limited', 'later', waitMs), false)
      expect(code).toBe(status.RESOURCE_EXHAUSTED)
      expect(metadata.get('grpc-retry-pushback-ms')).toEqual([String(Math.ceil(waitMs))])
      expect(decodeRetryInfo(metadata.get('grpc-status-details-bin')[0] as Buffer)).toBe(Math.ceil(waitMs))
    }
    const never = statusOf(reject('rate-limited', 'never'), false)
    expect(never.code).toBe(status.RESOURCE_EXHAUSTED)
    expect(never.metadata.get('grpc-retry-pushback-ms')).toEqual(['-1'])
  })

  test('asks for no wait that fits into no timer', () => {
    const { metadata } = statusOf(reject('rate-limited', 'later', Infinity))
    expect(metadata.get('grpc-retry-pushback-ms')).toEqual([String(2 ** 31 - 1)])
  })

  test('before the handler was reached says so, and after it does not', () => {
    expect(statusOf(reject('shed', 'elsewhere'), false).metadata.get('x-rejected')).toEqual(['shed'])
    expect(statusOf(reject('shed', 'elsewhere'), true).metadata.get('x-rejected')).toEqual([])
  })
})

describe('a status thrown by a handler', () => {
  test('passes with its metadata', () => {
    const metadata = new Metadata()
    metadata.set('field', 'name')
    const answer = statusOf(grpcError(status.INVALID_ARGUMENT, 'no name', metadata))
    expect(answer).toMatchObject({ code: status.INVALID_ARGUMENT, details: 'no name' })
    expect(answer.metadata.get('field')).toEqual(['name'])
  })

  test('need not be an error', () => {
    expect(statusOf({ code: status.NOT_FOUND, details: 'none' })).toMatchObject({ code: 5, details: 'none' })
  })

  test('takes its advice along', () => {
    const error = grpcError(status.UNAVAILABLE, 'closed for lunch')
    advise(error, { retry: 'later', retryAfterMs: 40 })
    expect(statusOf(error).metadata.get('grpc-retry-pushback-ms')).toEqual(['40'])
  })
})

describe('an error of a call that this process made', () => {
  const from = (code: status, details: string): Error => {
    const metadata = new Metadata()
    metadata.set('date', 'today')
    const error = grpcError(code, details, metadata)
    noteFromBelow(error)
    return error
  }

  test('passes on what it says of the request', () => {
    expect(statusOf(from(status.NOT_FOUND, 'item 7 is gone'))).toMatchObject({
      code: 5,
      details: 'item 7 is gone',
    })
  })

  test('keeps what it says of machines, and its metadata, inside', () => {
    const answer = statusOf(from(status.UNAVAILABLE, 'connect ECONNREFUSED 10.0.0.5:50051'))
    expect(answer.code).toBe(status.UNAVAILABLE)
    expect(answer.details).not.toContain('10.0.0.5')
    expect(answer.metadata.toJSON()).toEqual({})
  })

  test('takes "never again" along, and "try another replica" not: that was meant for this process', () => {
    const final = from(status.UNAVAILABLE, '')
    advise(final, { retry: 'never' })
    expect(statusOf(final).metadata.get('grpc-retry-pushback-ms')).toEqual(['-1'])
    const elsewhere = from(status.UNAVAILABLE, '')
    advise(elsewhere, { retry: 'elsewhere' })
    expect(statusOf(elsewhere).metadata.toJSON()).toEqual({})
  })
})

describe('any other error', () => {
  test.each([
    ['an error', new Error('password is hunter2')],
    ['an error of the system', Object.assign(new Error('secret'), { code: 'ECONNREFUSED', errno: -111 })],
    ['an error with a number for a code', Object.assign(new Error('secret'), { code: 11_000 })],
    ['an abort, whose code is 20', new DOMException('secret', 'AbortError')],
    ['OK with details', { code: 0, details: 'secret' }],
    ['a string', 'secret'],
    ['nothing', undefined],
  ])('%s is UNKNOWN and says nothing', (_what, error) => {
    expect(statusOf(error)).toMatchObject({ code: status.UNKNOWN, details: 'Internal error' })
  })

  test('whose cause is final is final', () => {
    const error = new Error('page failed', { cause: reject('retries-exhausted', 'never') })
    expect(statusOf(error).metadata.get('grpc-retry-pushback-ms')).toEqual(['-1'])
  })
})

test('details that no URI could hold are mended, because grpc-js would throw at them', () => {
  const { details } = statusOf({ code: status.NOT_FOUND, details: 'half a pair: \ud800' })
  expect(() => encodeURI(details)).not.toThrow()
})

test('within the process a status says all it knows', () => {
  expect(callStatusOf(reject('breaker-open', 'elsewhere')).details).toContain('limit-7')
  expect(callStatusOf(new Error('why'))).toMatchObject({ code: status.UNKNOWN, details: 'why' })
  const error = grpcError(status.UNAVAILABLE, 'connect ECONNREFUSED 10.0.0.5:50051')
  noteFromBelow(error)
  expect(callStatusOf(error).details).toContain('10.0.0.5')
})
