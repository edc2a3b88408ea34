import { Metadata, type StatusObject, status } from '@grpc/grpc-js'
import { expect, test, vi } from 'vitest'
import { currentContext } from '../../core/ambient.ts'
import { addAnswerField } from '../../core/answer-fields.ts'
import { createContext } from '../../core/context.ts'
import { Rejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { contextOf } from './arrival.ts'
import { Incoming, type Reply, reached } from './incoming.ts'
import { methodOf } from './method.ts'

const arrive = (timeoutMs?: number) => {
  const clock = manualClock()
  const reply = vi.fn<Reply>()
  const onError = vi.fn<(error: unknown) => void>()
  const sendMetadata = vi.fn<(metadata: Metadata) => void>()
  const arrival = { metadata: new Metadata(), peer: '[::1]:5000', deadline: Infinity }
  const context = contextOf(arrival, { clock, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
  const incoming = new Incoming(methodOf('/a.B/C'), arrival, context, { sendMetadata }, reply, onError)
  return { incoming, clock, reply, onError, sendMetadata }
}

const failure = (reply: ReturnType<typeof vi.fn<Reply>>): StatusObject => reply.mock.calls[0]![0]!

test('is answered once, whatever comes after', async () => {
  const { incoming, clock, reply, onError } = arrive(100)
  expect(clock.armed).toBe(1)
  incoming.succeed('yes')
  incoming.succeed('again')
  incoming.fail(new Error('late'))
  incoming.hungUp()
  await clock.advance(200)
  expect(reply).toHaveBeenCalledExactlyOnceWith(undefined, 'yes', undefined)
  expect(onError).not.toHaveBeenCalled()
  expect(incoming.context.ended).toBe(true) // its time is up, but nobody was told
  expect(incoming.context.scope.ending).toBeUndefined()
  expect(clock.armed).toBe(0)
})

test('ends when its deadline passes, and stops what sends', async () => {
  const { incoming, clock, reply } = arrive(100)
  const stop = vi.fn<() => void>()
  incoming.sendBy({ stop })
  incoming.onEarlyEnd = vi.fn<(reason: unknown) => void>()
  await clock.advance(100)
  expect(failure(reply).code).toBe(status.DEADLINE_EXCEEDED)
  expect(stop).toHaveBeenCalledOnce()
  expect(incoming.onEarlyEnd).toHaveBeenCalledExactlyOnceWith(incoming.context.scope.reason)
  const late = vi.fn<() => void>()
  incoming.sendBy({ stop: late })
  expect(late).toHaveBeenCalledOnce()
})

test('that is hung up is cancelled; close to its deadline it has timed out', async () => {
  const early = arrive(100)
  await early.clock.advance(50)
  early.incoming.hungUp()
  expect(early.incoming.context.scope.ending).toBe('cancelled')
  const close = arrive(100)
  await close.clock.advance(99)
  close.incoming.hungUp()
  expect(close.incoming.context.scope.ending).toBe('timeout')
  expect(early.reply).not.toHaveBeenCalled()
  expect(close.reply).not.toHaveBeenCalled()
})

test('tells its owner of errors that say nothing to a caller, and of no others', () => {
  for (const [error, told] of [
    [new Error('bug'), true],
    [{ code: status.NOT_FOUND, details: 'none' }, false],
    [new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' }), false],
  ] as const) {
    const { incoming, onError } = arrive()
    incoming.fail(error)
    expect(onError).toHaveBeenCalledTimes(told ? 1 : 0)
  }
})

test('says that the handler was not reached only as long as it was not', () => {
  const rejection = new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' })
  const before = arrive()
  before.incoming.fail(rejection)
  expect(failure(before.reply).metadata.get('x-rejected')).toEqual(['shed'])
  const after = arrive()
  expect(reached(after.incoming.context)).toBe(after.incoming)
  after.incoming.fail(rejection)
  expect(failure(after.reply).metadata.get('x-rejected')).toEqual([])
  expect(() => reached(createContext())).toThrow(/derived/)
})

test('sends metadata ahead, until it is over', () => {
  const { incoming, sendMetadata } = arrive()
  const headers = new Metadata()
  incoming.sendMetadata(headers)
  incoming.succeed(1)
  incoming.sendMetadata(headers)
  expect(sendMetadata).toHaveBeenCalledExactlyOnceWith(headers)
})

test('adds to an end that somebody else sends', () => {
  const { incoming, reply } = arrive()
  addAnswerField(incoming.context, 'x-note', 'noted')
  incoming.trailers.set('x-own', 'own')
  const answer = { code: status.OK, details: '', metadata: new Metadata() }
  expect(incoming.leave(answer)).toBe(true)
  expect(answer.metadata.toJSON()).toEqual({ 'x-note': ['noted'], 'x-own': ['own'] })
  expect(incoming.leave(answer)).toBe(false)
  expect(reply).not.toHaveBeenCalled()
})

test('knows where it came from', () => {
  const { incoming } = arrive()
  expect(incoming.peer).toBe('[::1]:5000')
  expect(incoming.context.caller).toBe('[::1]')
  expect(currentContext()).toBeUndefined()
})
