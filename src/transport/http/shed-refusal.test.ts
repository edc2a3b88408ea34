import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { Refusal } from '../../shedding/index.ts'
import { Refuser } from './shed-refusal.ts'

interface Asked {
  readonly random?: number
  readonly refusal?: Refusal
  readonly again?: boolean
  readonly pressure?: number
  readonly refuser?: Refuser
}

/** What is written in refusal of a request. */
function refused({ random = 0, refusal = 'limit', again = false, pressure = 0, refuser }: Asked) {
  const written: unknown[] = []
  const response = new ServerResponse(new IncomingMessage(new Socket()))
  const { writeHead } = response
  response.writeHead = (...args: unknown[]) => {
    const [status, reason, fields] = args as [number, string, string[]]
    const pairs = fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]!] as const] : []))
    written.push(status, reason, Object.fromEntries(pairs))
    return (writeHead as (...all: unknown[]) => ServerResponse).apply(response, args)
  }
  const maker = refuser ?? new Refuser(() => random)
  maker.refuse(response, refusal, again, pressure, 0)
  return { written, response }
}

test('a request is sent away for a while, in whole seconds and exactly, with no body', () => {
  const { written, response } = refused({ random: 0.5 })
  expect(written).toEqual([
    503,
    'Service Unavailable',
    { 'content-length': '0', 'x-rejected': 'shed', 'retry-after': '2', 'retry-after-ms': '1031' },
  ])
  expect(response.writableEnded).toBe(true)
})

test('whatever the dice say, it is for half a second to one and a half', () => {
  const away = [0, 0.49, 0.999_999].map(
    random => (refused({ random }).written[2] as Record<string, string>)['retry-after-ms'],
  )
  expect(away).toEqual(['531', '969', '1469'])
})

test('a second try is told that there should be no third, and one too late that its time is up', () => {
  expect(refused({ again: true }).written).toEqual([
    503,
    'Service Unavailable',
    { 'content-length': '0', 'x-rejected': 'shed', 'x-should-retry': 'false' },
  ])
  for (const again of [false, true]) {
    expect(refused({ refusal: 'late', again }).written).toEqual([
      504,
      'Gateway Timeout',
      { 'content-length': '0', 'x-rejected': 'deadline-exceeded', 'x-should-retry': 'false' },
    ])
  }
})

test('each answer tells the pressure of its own moment', () => {
  const refuser = new Refuser(() => 0)
  const told = [0.75, 1, 0, 0.75, 0.004].map(
    pressure => (refused({ pressure, refuser }).written[2] as Record<string, string>)['x-pressure'],
  )
  expect(told).toEqual(['0.75', '1.00', undefined, '0.75', undefined])
  expect(refused({ refuser, refusal: 'late', pressure: 0.5 }).written[2]).toHaveProperty('x-pressure', '0.50')
})

test('nothing is said where nobody listens any more, or somebody has answered', () => {
  expect(refused({ refusal: 'gone' }).response.writableEnded).toBe(false)
  const answered = new ServerResponse(new IncomingMessage(new Socket()))
  answered.writeHead(200)
  new Refuser(() => 0).refuse(answered, 'limit', false, 0, 0)
  expect([answered.statusCode, answered.writableEnded]).toEqual([200, false])
  const left = new ServerResponse(new IncomingMessage(new Socket()))
  left.destroy()
  new Refuser(() => 0).refuse(left, 'limit', false, 0, 0)
  expect([left.headersSent, left.writableEnded]).toEqual([false, false])
})

test('a refusal that is written again has its fields in the same order: another hidden class would slow all of them down', () => {
  const refuser = new Refuser(() => 0)
  const [first, again] = [0, 1].map(now => {
    const request = new IncomingMessage(new Socket())
    request.httpVersionMajor = request.httpVersionMinor = 1
    const response = new ServerResponse(request)
    refuser.refuse(response, 'limit', false, 0, now)
    return response as unknown as { readonly _header: string }
  })
  expect(again!._header).toBe(first!._header)
  expect(Object.keys(again!)).toEqual(Object.keys(first!))
})

test('what was written is written again for half a second, and not for those who are to be told something else', () => {
  const refuser = new Refuser(() => 0)
  const head = (
    now: number,
    change: (response: ServerResponse & { _keepAliveTimeout: number }) => void = () => {},
  ) => {
    const request = new IncomingMessage(new Socket())
    request.httpVersionMajor = request.httpVersionMinor = 1
    const response = Object.assign(new ServerResponse(request), { _keepAliveTimeout: 5_000 })
    change(response)
    refuser.refuse(response, 'limit', false, 0, now)
    expect([response.statusCode, response.headersSent, response.writableEnded]).toEqual([503, true, true])
    return (response as unknown as { _header: string })._header
  }
  const first = head(0)
  expect(first).toMatch(/^HTTP\/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nx-rejected: shed\r\n/)
  expect(first).toContain('Keep-Alive: timeout=5\r\n')
  const later = (response: { _keepAliveTimeout: number }): void => {
    response._keepAliveTimeout = 9_000
  }
  expect(head(499, later)).toBe(first)
  expect(head(500, later)).toContain('Keep-Alive: timeout=9\r\n')
  expect(head(-1)).toContain('Keep-Alive: timeout=5\r\n')
  expect(head(0, response => response.setHeader('access-control-allow-origin', '*'))).toContain(
    'allow-origin: *',
  )
  expect(head(0, response => Object.assign(response, { shouldKeepAlive: false }))).toContain(
    'Connection: close',
  )
  expect(head(0, response => Object.assign(response, { sendDate: false }))).not.toContain('Date:')
})
