import { PassThrough, Readable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { createContext } from '../../core/context.ts'
import { isRejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/manual-clock.ts'
import { DELIVERED, ResponseStream } from './response-stream.ts'

const all = async (messages: AsyncIterable<unknown>): Promise<unknown[]> => {
  const seen: unknown[] = []
  for await (const message of messages) seen.push(message)
  return seen
}

const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('something in the chain may answer in place of the call', () => {
  test('with messages of its own', async () => {
    expect(await all(new ResponseStream(createContext(), async () => [1, 2]))).toEqual([1, 2])
    async function* later() {
      yield 3
    }
    expect(await all(new ResponseStream(createContext(), async () => later()))).toEqual([3])
  })

  test('with nothing', async () => {
    expect(await all(new ResponseStream(createContext(), async () => undefined))).toEqual([])
  })

  test('with messages that end in a failure', async () => {
    const failing = new ResponseStream(createContext(), async () =>
      (function* () {
        yield 1
        throw new Error('stale copy was torn')
      })(),
    )
    expect((await failing.next()).value).toBe(1)
    await expect(failing.next()).rejects.toThrow('torn')
  })

  test('and is told when no more of them are wanted', async () => {
    let stopped = false
    const stream = new ResponseStream<number>(createContext(), async () =>
      (async function* () {
        try {
          for (let i = 0; ; i++) yield i
        } finally {
          stopped = true
        }
      })(),
    )
    for await (const message of stream) if (message === 2) break
    await tick()
    expect(stopped).toBe(true)
  })

  test('but not once a message of the call has arrived', async () => {
    const source = new PassThrough({ objectMode: true })
    const stream = new ResponseStream<number>(createContext(), async (_context, stream) => {
      stream.attach(source)
      source.write(1)
      await tick()
      expect(stream.committed).toBe(true)
      stream.attemptFailed(new Error('broken off'), false)
      return [7, 8, 9]
    })
    expect((await stream.next()).value).toBe(1)
    await expect(stream.next()).rejects.toThrow('broken off')
    expect((await stream.next()).done).toBe(true)
  })
})

test('an attempt that failed before any message is nothing to the reader', async () => {
  const stream = new ResponseStream<number>(createContext(), async (_context, stream) => {
    stream.attach(new PassThrough({ objectMode: true }))
    stream.attemptFailed(new Error('first'), false)
    expect(stream.committed).toBe(false)
    stream.attach(Readable.from([1]))
    await tick()
    await tick()
    return DELIVERED
  })
  expect(await all(stream)).toEqual([1])
})

test('a stream that is left before it was begun never begins', async () => {
  const run = vi.fn<() => Promise<unknown>>()
  const stream = new ResponseStream(createContext(), run)
  expect(await stream.return()).toEqual({ done: true, value: undefined })
  expect((await stream.next()).done).toBe(true)
  expect(run).not.toHaveBeenCalled()
})

test('a stream that is left ends its context, and nobody hears of it', async () => {
  const clock = manualClock()
  let reason: unknown
  const stream = new ResponseStream<number>(createContext({ clock, timeoutMs: 1_000 }), (context, stream) => {
    stream.attach(Readable.from([1, 2, 3]))
    return new Promise((_resolve, reject) => {
      context.signal.addEventListener('abort', () => {
        reason = context.signal.reason
        reject(reason)
      })
    })
  })
  for await (const _ of stream) break
  await tick()
  expect(isRejection(reason, 'cancelled')).toBe(true)
  expect(clock.armed).toBe(0)
})
