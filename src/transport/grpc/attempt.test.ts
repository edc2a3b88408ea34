import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { expect, test, vi } from 'vitest'
import { adviceOf } from '../../core/advice.ts'
import { createContext, openContext } from '../../core/context.ts'
import { isRejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { Attempt } from './attempt.ts'
import { callMetadata } from './call-metadata.ts'

const failed = (code: status): ServiceError =>
  Object.assign(new Error(), { code, details: '', metadata: new Metadata() })

const begin = (timeoutMs: number) => {
  const clock = manualClock()
  const { context, cancel } = openContext({ clock, timeoutMs })
  const resolve = vi.fn<(response: string) => void>()
  const reject = vi.fn<(error: unknown) => void>()
  const call = { cancel: vi.fn<() => void>() }
  const attempt = new Attempt<string>(context.scope, callMetadata(context, undefined), resolve, reject)
  attempt.started(call)
  return { attempt, clock, context, cancel, call, resolve, reject }
}

test('an answer lets go of the deadline', () => {
  const { attempt, clock, resolve, call } = begin(100)
  expect(clock.armed).toBe(1)
  attempt.succeed('yes')
  expect(resolve).toHaveBeenCalledExactlyOnceWith('yes')
  expect(clock.armed).toBe(0)
  expect(call.cancel).not.toHaveBeenCalled()
})

test('the deadline cancels the call and is what it fails with', async () => {
  const { attempt, clock, context, reject, call } = begin(100)
  await clock.advance(100)
  expect(call.cancel).toHaveBeenCalledOnce()
  expect(isRejection(reject.mock.calls[0]![0], 'deadline-exceeded')).toBe(true)
  expect(reject.mock.calls[0]![0]).toBe(context.scope.reason)
  attempt.fail(failed(status.CANCELLED))
  attempt.succeed('late')
  expect(reject).toHaveBeenCalledOnce()
})

test('cancelling the context cancels the call', () => {
  const { cancel, call, reject } = begin(100)
  const reason = new Error('enough')
  cancel(reason)
  expect(call.cancel).toHaveBeenCalledOnce()
  expect(reject).toHaveBeenCalledExactlyOnceWith(reason)
})

test('a server that counts down the same deadline and is a little ahead does not change the reason', async () => {
  const { attempt, clock, context, reject } = begin(100)
  await clock.advance(99)
  attempt.fail(failed(status.DEADLINE_EXCEEDED))
  expect(reject).not.toHaveBeenCalled()
  await clock.advance(1)
  expect(reject).toHaveBeenCalledExactlyOnceWith(context.scope.reason)
})

test('a server whose own time ran out earlier is heard', async () => {
  const { attempt, clock, reject } = begin(100)
  await clock.advance(50)
  const error = failed(status.DEADLINE_EXCEEDED)
  attempt.fail(error)
  expect(reject).toHaveBeenCalledExactlyOnceWith(error)
  expect(clock.armed).toBe(0)
})

test('an error keeps its identity and takes advice', () => {
  const { attempt, reject } = begin(100)
  const error = failed(status.UNAVAILABLE)
  error.metadata.set('grpc-retry-pushback-ms', '70')
  attempt.fail(error)
  expect(reject.mock.calls[0]![0]).toBe(error)
  expect(adviceOf(error)).toEqual({ retry: 'later', retryAfterMs: 70 })
})

test('a call that answers before it has returned is not watched', () => {
  const clock = manualClock()
  const context = createContext({ clock, timeoutMs: 100 })
  const attempt = new Attempt<string>(
    context.scope,
    callMetadata(context, undefined),
    () => {},
    () => {},
  )
  attempt.succeed('at once')
  attempt.started({ cancel() {} })
  expect(clock.armed).toBe(0)
})

test('the sender of a stream is stopped, and a failure told, once', () => {
  const { attempt } = begin(100)
  const stop = vi.fn<() => void>()
  attempt.pump = { stop }
  attempt.onFailure = vi.fn<(error: unknown, early: boolean) => void>()
  const error = new Error('mine')
  attempt.abort(error)
  attempt.abort(new Error('again'))
  expect(stop).toHaveBeenCalledOnce()
  expect(attempt.onFailure).toHaveBeenCalledExactlyOnceWith(error, true)
})
