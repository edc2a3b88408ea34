import { describe, expect, it } from 'vitest'
import { sizeOf } from './size-of.ts'

describe('sizeOf', () => {
  it('counts the bytes of text, buffers and blobs', () => {
    expect([
      sizeOf('ü'),
      sizeOf(Buffer.alloc(7)),
      sizeOf(new ArrayBuffer(8)),
      sizeOf(new Blob(['abc'])),
    ]).toEqual([2, 7, 8, 3])
  })

  it('believes the content-length of an HTTP message', () => {
    expect(sizeOf({ headers: { 'content-length': '12' } })).toBe(12)
    expect(sizeOf(new Response('x', { headers: { 'content-length': '34' } }))).toBe(34)
    expect(sizeOf({ headers: {} })).toBe(0)
    expect(sizeOf({ headers: { 'content-length': 'none' } })).toBe(0)
  })

  it('takes the JSON of anything else, where there is one', () => {
    expect(sizeOf({ a: 1 })).toBe(7)
    const circle: { self?: unknown } = {}
    circle.self = circle
    expect([sizeOf(circle), sizeOf(undefined), sizeOf(null), sizeOf(5)]).toEqual([0, 0, 0, 0])
  })
})
