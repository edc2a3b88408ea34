import { expect, test } from 'vitest'
import { Rejection } from '../core/rejection.ts'
import { failureOf } from './failure.ts'

const system = (code: string, more: object = {}): Error => Object.assign(new Error(code), { code }, more)
const grpc = (code: number): Error => Object.assign(new Error(`${code}`), { code, details: '', metadata: {} })
const http = (status: number): Error => Object.assign(new Error(`${status}`), { status })

test('a connection that was never made means that nothing was sent', () => {
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']) {
    expect(failureOf(system(code))).toBe('never-sent')
  }
})

test('a reset or a timeout means that nothing was sent only while connecting', () => {
  expect(failureOf(system('ECONNRESET', { syscall: 'connect' }))).toBe('never-sent')
  expect(failureOf(system('ETIMEDOUT', { syscall: 'connect' }))).toBe('never-sent')
  expect(failureOf(system('ECONNRESET', { syscall: 'read' }))).toBe('transient')
  expect(failureOf(system('EPIPE'))).toBe('transient')
})

test('a stream that the server refused was not worked on', () => {
  const refused = Object.assign(new Error('Stream closed with error code NGHTTP2_REFUSED_STREAM'), {
    code: 'ERR_HTTP2_STREAM_ERROR',
  })
  expect(failureOf(refused)).toBe('never-sent')
  const broken = Object.assign(new Error('Stream closed with error code NGHTTP2_INTERNAL_ERROR'), {
    code: 'ERR_HTTP2_STREAM_ERROR',
  })
  expect(failureOf(broken)).toBe('unknown')
})

test('gRPC statuses', () => {
  const of = (codes: number[]): string[] => [...new Set(codes.map(code => failureOf(grpc(code))))]
  expect(of([14])).toEqual(['transient'])
  expect(of([8])).toEqual(['overloaded'])
  expect(of([4])).toEqual(['timed-out'])
  expect(of([1])).toEqual(['cancelled'])
  expect(of([2, 12, 13, 15])).toEqual(['broken'])
  expect(of([3, 5, 6, 7, 9, 10, 11, 16])).toEqual(['answered'])
})

test('a number in `code` that is not a gRPC status says nothing', () => {
  expect(failureOf(Object.assign(new Error('mysql'), { code: 14 }))).toBe('unknown')
  expect(failureOf(grpc(99))).toBe('unknown')
})

test('HTTP statuses, wherever clients put them', () => {
  for (const status of [502, 503, 504, 408, 425]) expect(failureOf(http(status))).toBe('transient')
  for (const status of [500, 501, 505, 599]) expect(failureOf(http(status))).toBe('broken')
  for (const status of [400, 401, 404, 409, 422]) expect(failureOf(http(status))).toBe('answered')
  expect(failureOf(http(429))).toBe('overloaded')
  expect(failureOf(http(200))).toBe('unknown')
  expect(failureOf(Object.assign(new Error(), { statusCode: 503 }))).toBe('transient')
  expect(failureOf(Object.assign(new Error(), { response: { status: 404 } }))).toBe('answered')
})

test('the cause speaks where the error does not', () => {
  const failed = new TypeError('fetch failed', { cause: system('ECONNREFUSED') })
  expect(failureOf(failed)).toBe('never-sent')
  const wrapped = new Error('no user', { cause: new Error('db', { cause: http(503) }) })
  expect(failureOf(wrapped)).toBe('transient')
})

test('a chain of causes that goes round in a circle ends', () => {
  const error = new Error('a')
  error.cause = new Error('b', { cause: error })
  expect(failureOf(error)).toBe('unknown')
})

test('an aborted signal is a cancellation, an expired one is not', () => {
  expect(failureOf(new DOMException('gone', 'AbortError'))).toBe('cancelled')
  expect(failureOf(new DOMException('late', 'TimeoutError'))).toBe('transient')
})

test('refusals of the kit', () => {
  const refusal = (reason: 'bulkhead-full' | 'deadline-exceeded' | 'cancelled', begun: boolean): Rejection =>
    new Rejection({ reason, policy: 'x', retry: 'later', begun })
  expect(failureOf(refusal('bulkhead-full', false))).toBe('never-sent')
  expect(failureOf(refusal('bulkhead-full', true))).toBe('unknown')
  expect(failureOf(refusal('deadline-exceeded', true))).toBe('timed-out')
  expect(failureOf(refusal('cancelled', true))).toBe('cancelled')
})

test('mistakes in the program, and errors that say nothing', () => {
  expect(failureOf(new TypeError('x is not a function'))).toBe('bug')
  expect(failureOf(new RangeError('too long'))).toBe('bug')
  expect(failureOf(new Error('boom'))).toBe('unknown')
  for (const thrown of ['boom', undefined, null, 7]) expect(failureOf(thrown)).toBe('unknown')
})
