import { Metadata } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { pressureOf } from './pressure-of.ts'

const trailers = (value: string): Metadata => {
  const metadata = new Metadata()
  metadata.set('x-pressure', value)
  return metadata
}

test.each([
  ['trailers', trailers('0.75'), 0.75],
  ['what a call failed with', Object.assign(new Error('no'), { metadata: trailers('1.00') }), 1],
  ['trailers that say nothing', new Metadata(), 0],
  ['trailers that make no sense', trailers('high'), 0],
  ['an error without any', new Error('no'), 0],
  ['an error with others', { metadata: { 'x-pressure': '1' } }, 0],
  ['nothing', undefined, 0],
])('%s', (_name, answer, expected) => {
  expect(pressureOf(answer)).toBe(expected)
})
