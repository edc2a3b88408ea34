import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { cancelled, deadlineExceeded, isRejection, Rejection } from './rejection.ts'

const shed = new Rejection({ reason: 'shed', policy: 'api', retry: 'elsewhere', detail: 'cpu at 93 %' })

describe('a rejection', () => {
  it('is an error', () => {
    expect(shed).toBeInstanceOf(Error)
    expect(shed).toBeInstanceOf(Rejection)
    expect(shed.name).toBe('Rejection')
    expect(shed.message).toBe('[shed] refused by api: cpu at 93 %')
    expect(String(shed)).toBe('Rejection: [shed] refused by api: cpu at 93 %')
  })

  it('collects no stack', () => {
    const limit = Error.stackTraceLimit
    let prepared = 0
    const { prepareStackTrace } = Error
    Error.prepareStackTrace = (error, sites) => {
      prepared++
      return prepareStackTrace?.(error, sites)
    }
    try {
      expect(deadlineExceeded('api', false).stack).toBe('Rejection: [deadline-exceeded] refused by api')
    } finally {
      Error.prepareStackTrace = prepareStackTrace
    }
    expect(prepared).toBe(0)
    expect(Error.stackTraceLimit).toBe(limit)
  })

  it('has the defaults of a refusal before the work began', () => {
    expect(shed.begun).toBe(false)
    expect(shed.retryAfterMs).toBeUndefined()
    expect(cancelled('hedge').begun).toBe(true)
    expect(cancelled('hedge', shed).cause).toBe(shed)
    expect(deadlineExceeded('api', true, 'after 5 ms')).toMatchObject({ retry: 'never', begun: true })
  })

  it('can be written to as any error can: code that adds to a message and rethrows must not fail', () => {
    const error: Error = new Rejection({ reason: 'shed', policy: 'api', retry: 'later' })
    error.message = `while loading a user: ${error.message}`
    expect(error.message).toBe('while loading a user: [shed] refused by api')
    expect(error.stack).toBe('Rejection: while loading a user: [shed] refused by api')
    error.stack = 'elsewhere'
    error.name = 'Mine'
    expect([error.stack, error.name]).toEqual(['elsewhere', 'Mine'])
    expect(isRejection(error, 'shed')).toBe(true)
    expect(Object.keys(error)).not.toContain('message')
    expect(new Rejection({ reason: 'shed', policy: 'api', retry: 'later' }).message).toBe(
      '[shed] refused by api',
    )
  })

  it('reads well in a log', () => {
    const limited = new Rejection({
      reason: 'rate-limited',
      policy: 'api',
      retry: 'later',
      retryAfterMs: 250,
    })
    expect(inspect(shed)).toBe('Rejection: [shed] refused by api: cpu at 93 % (retry: elsewhere)')
    expect(inspect(limited)).toBe('Rejection: [rate-limited] refused by api (retry: later after 250 ms)')
    expect(inspect({ error: limited })).toBe(
      '{\n  error: Rejection: [rate-limited] refused by api (retry: later after 250 ms)\n}',
    )
    const caused = new Rejection({
      reason: 'retries-exhausted',
      policy: 'retry',
      retry: 'never',
      cause: limited,
    })
    expect(inspect(caused)).toBe(
      'Rejection: [retries-exhausted] refused by retry (retry: never) {\n' +
        '  [cause]: Rejection: [rate-limited] refused by api (retry: later after 250 ms)\n}',
    )
  })

  it('is plain data as JSON, its message included', () => {
    expect(JSON.parse(JSON.stringify({ error: shed }))).toEqual({
      error: {
        name: 'Rejection',
        message: '[shed] refused by api: cpu at 93 %',
        reason: 'shed',
        policy: 'api',
        retry: 'elsewhere',
        begun: false,
      },
    })
    const caused = cancelled('hedge', new Error('lost'))
    expect(JSON.parse(JSON.stringify(caused)).cause).toBe('Error: lost')
  })
})

describe('isRejection', () => {
  it('asks for the reason too', () => {
    expect(isRejection(shed)).toBe(true)
    expect(isRejection(shed, 'shed')).toBe(true)
    expect(isRejection(shed, 'cancelled')).toBe(false)
  })

  it.each([undefined, null, 'shed', 3, {}, new Error('shed'), { reason: 'shed' }])(
    'is false for %o',
    value => {
      expect(isRejection(value)).toBe(false)
    },
  )

  it('knows a rejection of another installed copy of the kit', async () => {
    const copy = './rejection.ts?another-copy'
    const other = (await import(copy)) as typeof import('./rejection.ts')
    const theirs = new other.Rejection({ reason: 'shed', policy: 'api', retry: 'later' })
    expect(other.Rejection).not.toBe(Rejection)
    expect(theirs).not.toBeInstanceOf(Rejection)
    expect(isRejection(theirs, 'shed')).toBe(true)
    expect(other.isRejection(shed)).toBe(true)
  })
})
