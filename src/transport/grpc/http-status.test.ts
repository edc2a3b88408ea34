import { Metadata, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { Rejection } from '../../core/rejection.ts'
import { httpStatusOf, reasonOf } from './http-status.ts'
import { reasons, statusOf, statusOfReason } from './status.ts'

test('every gRPC status has one in HTTP', () => {
  const codes = Object.values(status).filter(code => typeof code === 'number')
  expect(codes.map(code => [status[code], httpStatusOf(code)])).toEqual([
    ['OK', 200],
    ['CANCELLED', 499],
    ['UNKNOWN', 500],
    ['INVALID_ARGUMENT', 400],
    ['DEADLINE_EXCEEDED', 504],
    ['NOT_FOUND', 404],
    ['ALREADY_EXISTS', 409],
    ['PERMISSION_DENIED', 403],
    ['RESOURCE_EXHAUSTED', 429],
    ['FAILED_PRECONDITION', 400],
    ['ABORTED', 409],
    ['OUT_OF_RANGE', 400],
    ['UNIMPLEMENTED', 501],
    ['INTERNAL', 500],
    ['UNAVAILABLE', 503],
    ['DATA_LOSS', 500],
    ['UNAUTHENTICATED', 401],
  ])
  expect(httpStatusOf(99 as status)).toBe(500)
})

test('a reason survives the way to the caller and back', () => {
  for (const reason of reasons) {
    const rejection = new Rejection({ reason, policy: 'p', retry: 'elsewhere' })
    expect(reasonOf(rejection)).toBe(reason)
    expect(reasonOf(statusOf(rejection, false))).toBe(reason)
  }
})

test('where nobody says it, the code does, if it can', () => {
  const of = (code: status, said?: string): unknown => {
    const metadata = new Metadata()
    if (said !== undefined) metadata.set('x-rejected', said)
    return reasonOf({ code, details: '', metadata })
  }
  expect(of(status.DEADLINE_EXCEEDED)).toBe('deadline-exceeded')
  expect(of(status.CANCELLED)).toBe('cancelled')
  expect(of(status.UNAVAILABLE)).toBeUndefined()
  expect(of(status.UNAVAILABLE, 'because')).toBeUndefined()
  expect(reasonOf({ code: status.CANCELLED, details: '' })).toBe('cancelled')
  expect(reasonOf(new Error('no'))).toBeUndefined()
  expect(statusOfReason('cancelled')).toBe(status.CANCELLED)
})
