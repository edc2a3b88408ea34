import { Metadata } from '@grpc/grpc-js'
import { describe, expect, test, vi } from 'vitest'
import { createContext } from '../../core/context.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { decodeGrpcTimeout } from '../wire/timeout.ts'
import { callMetadata } from './call-metadata.ts'

const timeoutIn = (metadata: Metadata): number | undefined => {
  const text = metadata.toHttp2Headers()['grpc-timeout']
  return text === undefined ? undefined : decodeGrpcTimeout(String(text))
}

describe('the time left', () => {
  test('is what is left when the call is sent, not when it was made', () => {
    const clock = manualClock()
    const metadata = callMetadata(createContext({ clock, timeoutMs: 400 }), undefined)
    clock.jump(150)
    expect(timeoutIn(metadata)).toBe(250)
    // grpc-js sends a copy of a copy.
    const copy = metadata.clone().clone()
    clock.jump(100)
    expect(timeoutIn(copy)).toBe(150)
  })

  test('does not hear of the wall clock', () => {
    const clock = manualClock()
    const metadata = callMetadata(createContext({ clock, timeoutMs: 400 }), undefined)
    const now = Date.now()
    const spy = vi.spyOn(Date, 'now').mockReturnValue(now - 3_600_000)
    try {
      expect(timeoutIn(metadata)).toBe(400)
    } finally {
      spy.mockRestore()
    }
  })

  test('is rounded down to whole milliseconds, and to less when little is left', () => {
    const clock = manualClock()
    const metadata = callMetadata(createContext({ clock, timeoutMs: 100.9 }), undefined)
    expect(timeoutIn(metadata)).toBe(100)
    clock.jump(100.5)
    expect(timeoutIn(metadata)).toBeGreaterThan(0)
    expect(timeoutIn(metadata)).toBeLessThanOrEqual(0.4)
  })

  test('is none once there is none', () => {
    const clock = manualClock()
    const metadata = callMetadata(createContext({ clock, timeoutMs: 10 }), undefined)
    clock.jump(11)
    expect(timeoutIn(metadata)).toBe(0)
  })

  test('is not mentioned without a deadline', () => {
    expect(timeoutIn(callMetadata(createContext(), undefined))).toBeUndefined()
  })

  test('never reaches the 25 days at which servers in Node fall over', () => {
    const metadata = callMetadata(createContext({ clock: manualClock(), timeoutMs: 1e12 }), undefined)
    expect(timeoutIn(metadata)).toBeLessThanOrEqual(2 ** 31 - 1)
    expect(timeoutIn(metadata)).toBeGreaterThan(2 ** 31 - 2_000)
  })

  test('is no longer than a service config says', () => {
    const metadata = callMetadata(createContext({ clock: manualClock(), timeoutMs: 400 }), undefined)
    metadata.set('grpc-timeout', '50m')
    expect(timeoutIn(metadata)).toBe(50)
    metadata.set('grpc-timeout', '5S')
    expect(timeoutIn(metadata)).toBe(400)
    metadata.set('grpc-timeout', 'soon')
    expect(timeoutIn(metadata)).toBe(400)
  })
})

describe('what a context says', () => {
  test('goes along as baggage, beside what is there', () => {
    const given = new Metadata()
    given.set('baggage', 'userId=7')
    given.set('authorization', 'Bearer x')
    const context = createContext({ criticality: 'sheddable', tenant: 'blue/1' })
    const metadata = callMetadata(context, given)
    expect(metadata.get('baggage')).toEqual(['userId=7,criticality=sheddable,tenant=blue%2F1'])
    expect(metadata.get('authorization')).toEqual(['Bearer x'])
    expect(given.get('baggage')).toEqual(['userId=7'])
  })

  test('is nothing by default', () => {
    expect(callMetadata(createContext(), undefined).toJSON()).toEqual({})
  })

  test('counts the attempts before this one', () => {
    expect(callMetadata(createContext({ attempt: 3 }), undefined).get('grpc-previous-rpc-attempts')).toEqual([
      '2',
    ])
  })
})

test('metadata knows whether it was sent, and so do its copies', () => {
  const metadata = callMetadata(createContext(), undefined)
  const copy = metadata.clone()
  expect(metadata.sent).toBe(false)
  copy.toHttp2Headers()
  expect(metadata.sent).toBe(true)
})

test('what grpc-js reads off metadata survives the copy', () => {
  const given = new Metadata({ waitForReady: true })
  given.set('trace-bin', Buffer.from([1, 2]))
  given.add('many', 'a')
  given.add('many', 'b')
  const copy = callMetadata(createContext(), given).clone()
  expect(copy.getOptions()).toEqual({ waitForReady: true })
  expect(copy.toHttp2Headers()).toEqual({ 'trace-bin': 'AQI=', many: ['a', 'b'] })
})
