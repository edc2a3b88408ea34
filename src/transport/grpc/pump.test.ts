import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { Pump } from './pump.ts'

/** A stream that takes a message only when it is told to. */
const slowSink = (highWaterMark: number) => {
  const taken: number[] = []
  let take: (() => void) | undefined
  const sink = new Writable({
    objectMode: true,
    highWaterMark,
    write(message, _encoding, done) {
      take = () => {
        taken.push(message)
        take = undefined
        done()
      }
    },
  })
  return { sink, taken, takeOne: () => take?.() }
}

const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('asks for a message only when there is room', async () => {
  let asked = 0
  function* numbers() {
    for (let i = 0; i < 100; i++) {
      asked++
      yield i
    }
  }
  const { sink, taken, takeOne } = slowSink(4)
  const done = new Pump(numbers(), sink).run()
  await tick()
  expect(asked).toBe(4)
  for (let i = 0; i < 50; i++) {
    takeOne()
    await tick()
  }
  expect(taken.length).toBe(50)
  expect(asked).toBeLessThanOrEqual(55)
  while (taken.length < 100) {
    takeOne()
    await tick()
  }
  await done
  expect(taken).toEqual(Array.from({ length: 100 }, (_, i) => i))
})

test('takes async and plain iterables', async () => {
  const taken: unknown[] = []
  const sink = new Writable({
    objectMode: true,
    write(message, _encoding, done) {
      taken.push(message)
      done()
    },
  })
  await new Pump([1, 2], sink).run()
  await new Pump(
    (async function* () {
      yield 3
    })(),
    sink,
  ).run()
  expect(taken).toEqual([1, 2, 3])
  expect(sink.listenerCount('drain')).toBe(0)
})

test('fails with what the iterable throws', async () => {
  const { sink } = slowSink(4)
  const pump = new Pump(
    (function* () {
      yield 1
      throw new Error('out of numbers')
    })(),
    sink,
  )
  await expect(pump.run()).rejects.toThrow('out of numbers')
  expect(pump.begun).toBe(true)
})

describe('stopping', () => {
  test('tells the iterable, at once when it waits for room', async () => {
    let cleaned = false
    const { sink } = slowSink(1)
    const pump = new Pump(
      (function* () {
        try {
          for (;;) yield 1
        } finally {
          cleaned = true
        }
      })(),
      sink,
    )
    const done = pump.run()
    await tick()
    pump.stop()
    await done
    expect(cleaned).toBe(true)
    expect(sink.listenerCount('drain')).toBe(0)
  })

  test('ends without a word when the iterable fails in doing so', async () => {
    const { sink } = slowSink(1)
    const failing = (async function* () {
      try {
        for (;;) yield 1
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: this is what is tested
        throw new Error('cleaning up failed')
      }
    })()
    const pump = new Pump(failing, sink)
    const done = pump.run()
    await tick()
    pump.stop()
    await done
    const rude = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false, value: 1 }),
        return: () => {
          throw new Error()
        },
      }),
    }
    const other = new Pump(rude as unknown as Iterable<number>, sink)
    expect(() => other.stop()).not.toThrow()
  })
})

test('knows which messages can be asked for only once', () => {
  const { sink } = slowSink(1)
  function* generator() {
    yield 1
  }
  expect(new Pump(generator(), sink).oneShot).toBe(true)
  expect(new Pump([1], sink).oneShot).toBe(false)
  expect(new Pump(new Set([1]), sink).oneShot).toBe(false)
})
