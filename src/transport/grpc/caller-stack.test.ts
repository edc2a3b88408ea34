import { credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CatalogClient } from '../../../test/grpc/catalog.ts'
import { callBegun, withoutCallerStack } from './caller-stack.ts'
import { client } from './client.ts'

const limit = Error.stackTraceLimit
beforeEach(() => {
  Error.stackTraceLimit = 10
})
afterEach(() => {
  Error.stackTraceLimit = limit
})

const frames = (error: Error): number => error.stack!.split('\n').length - 1

test('an error made meanwhile has no stack, and one made afterwards has', () => {
  expect(frames(withoutCallerStack(() => new Error('inside')))).toBe(0)
  expect(frames(new Error('outside'))).toBe(10)
})

test('a call that throws leaves errors as they were', () => {
  expect(() =>
    withoutCallerStack(() => {
      throw new TypeError('wrong')
    }),
  ).toThrow('wrong')
  expect(Error.stackTraceLimit).toBe(10)
})

test('errors have stacks again as soon as the call has begun', () => {
  const made = withoutCallerStack(() => {
    callBegun()
    return new Error('later')
  })
  expect(frames(made)).toBe(10)
})

test('one call within another leaves the limit as it was', () => {
  withoutCallerStack(() => withoutCallerStack(() => {}))
  expect(Error.stackTraceLimit).toBe(10)
})

test.each([11, 50, Infinity])('a limit of %s is left alone', raised => {
  Error.stackTraceLimit = raised
  expect(withoutCallerStack(() => Error.stackTraceLimit)).toBe(raised)
  expect(Error.stackTraceLimit).toBe(raised)
})

test('so is one that cannot be changed', () => {
  Object.defineProperty(Error, 'stackTraceLimit', { writable: false })
  try {
    expect(frames(withoutCallerStack(() => new Error('inside')))).toBe(10)
  } finally {
    Object.defineProperty(Error, 'stackTraceLimit', { writable: true })
  }
})

test('a failed call says where it was made if more frames are asked for than by default', async () => {
  const catalog = client(CatalogClient, {
    address: '127.0.0.1:1',
    credentials: credentials.createInsecure(),
  })
  const failed = async (): Promise<string> => {
    const error: Error = await catalog.getItem({ id: 1 }).then(
      () => expect.fail('it answered'),
      failure => failure,
    )
    return error.stack!
  }
  expect(await failed()).not.toContain('caller-stack.test')
  Error.stackTraceLimit = 50
  expect(await failed()).toContain('caller-stack.test')
  catalog.close()
})

test('the errors of a serializer, and of all else that runs once the call has begun, have stacks', async () => {
  const catalog = client(CatalogClient, {
    address: '127.0.0.1:1',
    credentials: credentials.createInsecure(),
  })
  let made: Error | undefined
  const request = {
    get id(): number {
      made = new Error('looked at')
      return 1
    },
  }
  await catalog.getItem(request).catch(() => {})
  expect(frames(made!)).toBe(10)
  catalog.close()
})
