import { expect, test } from 'vitest'
import { rootContext } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { aroundMethod } from './around.ts'

const handler: Handler<number, number> = async request => request + 1

test('stands around in order, `use` outermost', async () => {
  const note =
    (name: string) =>
    (next: Handler<any, any>): Handler<any, any> =>
    async (request, context) =>
      `${name}(${await next(request, context)})`
  expect(await aroundMethod(note('use'), { get: note('own') }, 'get')(handler)(1, rootContext)).toBe(
    'use(own(2))',
  )
  expect(await aroundMethod(note('use'), { get: note('own') }, 'other')(handler)(1, rootContext)).toBe(
    'use(2)',
  )
  expect(await aroundMethod(undefined)(handler)(1, rootContext)).toBe(2)
})

test('a middleware that throws at once, or answers with a plain value, is like any other', async () => {
  const thrown = new Error('at once')
  const throws = aroundMethod(() => () => {
    throw thrown
  })
  await expect(throws(handler)(1, rootContext)).rejects.toBe(thrown)
  const plain = aroundMethod(() => () => 7 as never)
  expect(await plain(handler)(1, rootContext)).toBe(7)
})
