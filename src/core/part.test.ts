import { expect, test } from 'vitest'
import type { Handler } from './handler.ts'
import { partsOf, tagParts, wrapBy } from './part.ts'

const through =
  () =>
  (next: Handler<any, any>): Handler<any, any> =>
    next

test('a middleware of the kit is known by its parts, out of sight of everything else', () => {
  const parts = [{ gate: { kind: 'shed', name: 'a', admit: () => 1 } }] as const
  const middleware = tagParts(through(), parts)
  expect(partsOf(middleware)).toBe(parts)
  expect(Object.keys(middleware)).toEqual([])
})

test('parts are read across two installed copies of the kit', async () => {
  const copy = './part.ts?another-copy'
  const other = (await import(copy)) as typeof import('./part.ts')
  const parts = [{ gate: { kind: 'shed', name: 'a', admit: () => 1 } }] as const
  expect(partsOf(other.tagParts(through(), parts))).toBe(parts)
})

test('a function written by hand is one layer that nothing else is known about', () => {
  const audit = <T>(next: T): T => next
  expect(partsOf(audit)).toEqual([{ layer: { kind: 'other', name: 'audit', wrap: audit } }])
})

test('what is no handler is not taken for one', () => {
  const handler = async (): Promise<number> => 1
  expect(wrapBy({ kind: 'other', name: 'x', wrap: next => next }, handler)).toBe(handler)
  expect(() => wrapBy({ kind: 'other', name: 'x', wrap: () => 7 as never }, handler)).toThrow(
    'Expected x to return a handler, got 7',
  )
})
