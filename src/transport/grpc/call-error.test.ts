import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Advice, adviceOf } from '../../core/advice.ts'
import { adviseCallError } from './call-error.ts'
import { encodeRetryInfo } from './status-details.ts'

const advised = (
  code: status,
  details: string,
  trailers: Record<string, string | Buffer>,
  sent = true,
): Advice | undefined => {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value)
  const error: ServiceError = Object.assign(new Error(details), { code, details, metadata })
  adviseCallError(error, sent)
  return adviceOf(error)
}

describe('a pushback', () => {
  test.each(['-1', '-20', 'soon', '', '1.5', '0x10', ' 5', '99999999999999999999'])(
    'of "%s" means never',
    text => {
      expect(advised(status.UNAVAILABLE, '', { 'grpc-retry-pushback-ms': text })).toEqual({ retry: 'never' })
    },
  )

  test.each([
    ['0', 0],
    ['250', 250],
    ['99999999999', 2 ** 31 - 1],
  ])('of "%s" means later', (text, retryAfterMs) => {
    const advice = advised(status.RESOURCE_EXHAUSTED, '', { 'grpc-retry-pushback-ms': text })
    expect(advice).toEqual({ retry: 'later', retryAfterMs })
  })

  test('of any text means never or a wait that fits into a timer', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ -~]*$/), text => {
        const advice = advised(status.UNAVAILABLE, '', { 'grpc-retry-pushback-ms': text })!
        if (advice.retry === 'never') expect(advice.retryAfterMs).toBeUndefined()
        else expect(advice.retryAfterMs! >= 0 && advice.retryAfterMs! < 2 ** 31).toBe(true)
      }),
    )
  })

  test('outweighs RetryInfo', () => {
    const details = encodeRetryInfo(8, '', 100)
    const trailers = { 'grpc-retry-pushback-ms': '-1', 'grpc-status-details-bin': details }
    expect(advised(status.RESOURCE_EXHAUSTED, '', trailers)).toEqual({ retry: 'never' })
  })
})

test('RetryInfo means later', () => {
  const trailers = { 'grpc-status-details-bin': encodeRetryInfo(8, '', 100) }
  expect(advised(status.RESOURCE_EXHAUSTED, '', trailers)).toEqual({ retry: 'later', retryAfterMs: 100 })
})

test('a service of the kit that refused before it began may be asked elsewhere', () => {
  expect(advised(status.UNAVAILABLE, 'Overloaded', { 'x-rejected': 'shed' })).toEqual({ retry: 'elsewhere' })
})

describe('a call that never left', () => {
  test.each([
    'No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1',
    'Name resolution failed for target dns:nowhere',
    'Channel closed before call started',
  ])('may be made elsewhere: %s', details => {
    expect(advised(status.UNAVAILABLE, details, {}, false)).toEqual({ retry: 'elsewhere' })
  })

  test('is not one that was sent and lost', () => {
    expect(advised(status.UNAVAILABLE, 'Connection dropped', {})).toBeUndefined()
  })

  test('is not one that a server in between could not pass on', () => {
    const words = 'No connection established. Last error: connect ECONNREFUSED 10.0.0.5:1'
    expect(advised(status.UNAVAILABLE, words, { 'content-type': 'application/grpc' })).toBeUndefined()
    expect(advised(status.UNAVAILABLE, words, {})).toBeUndefined()
  })

  test('may also be one that the server refused to look at', () => {
    expect(advised(status.UNAVAILABLE, 'Stream refused by server', {})).toEqual({ retry: 'elsewhere' })
  })
})

test('any other error says nothing', () => {
  expect(advised(status.NOT_FOUND, 'none', { 'content-type': 'application/grpc' })).toBeUndefined()
  expect(advised(status.DEADLINE_EXCEEDED, 'Deadline exceeded', {})).toBeUndefined()
})

test('a status that an interceptor made up without metadata is no trouble', () => {
  const error = Object.assign(new Error(), { code: status.INTERNAL, details: '' })
  adviseCallError(error as ServiceError, true)
  expect(adviceOf(error)).toBeUndefined()
})
