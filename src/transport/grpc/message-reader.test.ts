import { PassThrough, Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { MessageReader } from './message-reader.ts'

const reading = (source: Readable): MessageReader<number> => {
  const reader = new MessageReader<number>()
  reader.attach(source)
  source.on('end', () => reader.end(false))
  return reader
}

test('messages come in order, then the end, for ever', async () => {
  const reader = reading(Readable.from([1, 2, 3]))
  const seen: number[] = []
  for await (const message of reader) seen.push(message)
  expect(seen).toEqual([1, 2, 3])
  expect(await reader.next()).toEqual({ value: undefined, done: true })
})

test('several may be asked for at once', async () => {
  const reader = reading(Readable.from([1, 2]))
  const results = await Promise.all([reader.next(), reader.next(), reader.next()])
  expect(results.map(result => result.value)).toEqual([1, 2, undefined])
})

test('reads ahead no further than the high-water mark of the stream', async () => {
  let made = 0
  const source = new Readable({
    objectMode: true,
    highWaterMark: 16,
    read() {
      this.push(++made)
    },
  })
  const reader = reading(source)
  await reader.next()
  await new Promise(resolve => setImmediate(resolve))
  expect(made).toBeLessThanOrEqual(18)
})

test('what came before a failure is handed out first', async () => {
  const source = new PassThrough({ objectMode: true })
  const reader = reading(source)
  source.write(1)
  source.write(2)
  await new Promise(resolve => setImmediate(resolve))
  reader.fail(new Error('broken'), false)
  expect((await reader.next()).value).toBe(1)
  expect((await reader.next()).value).toBe(2)
  await expect(reader.next()).rejects.toThrow('broken')
  expect((await reader.next()).done).toBe(true)
})

test('unless it is to be dropped', async () => {
  const source = new PassThrough({ objectMode: true })
  const reader = reading(source)
  source.write(1)
  reader.fail(new Error('too late'), true)
  await expect(reader.next()).rejects.toThrow('too late')
})

test('only the first failure counts, and none after the end', async () => {
  const reader = new MessageReader<number>()
  const waiting = reader.next()
  reader.fail(new Error('first'), false)
  reader.fail(new Error('second'), false)
  await expect(waiting).rejects.toThrow('first')
  expect((await reader.next()).done).toBe(true)
})

test('a reader that returns is given nothing more', async () => {
  const reader = reading(Readable.from([1, 2, 3]))
  for await (const message of reader) {
    expect(message).toBe(1)
    break
  }
  expect((await reader.next()).done).toBe(true)
})

test('a stream that was replaced is not heard any more', async () => {
  const reader = new MessageReader<number>()
  const first = new PassThrough({ objectMode: true })
  const second = new PassThrough({ objectMode: true })
  reader.attach(first)
  reader.attach(second)
  const next = reader.next()
  first.write(1)
  second.write(2)
  expect((await next).value).toBe(2)
})

test('knows whether anything has come', async () => {
  const source = new PassThrough({ objectMode: true })
  const reader = reading(source)
  expect(reader.begun).toBe(false)
  source.write(1)
  await new Promise(resolve => setImmediate(resolve))
  expect(reader.begun).toBe(true)
  await reader.next()
  expect(reader.begun).toBe(true)
})
