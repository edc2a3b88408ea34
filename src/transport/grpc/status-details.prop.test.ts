import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRetryInfo, encodeRetryInfo } from './status-details.ts'

test('a delay that was written is the delay that is read', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 16 }),
      fc.string({ unit: 'grapheme' }),
      fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      (code, message, delayMs) => {
        expect(decodeRetryInfo(encodeRetryInfo(code, message, delayMs))).toBe(delayMs)
      },
    ),
  )
})

test('bytes that are anything at all never throw, and never ask for less than nothing', () => {
  const broken = fc
    .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 255 }))
    .map(([at, byte]) => {
      const bytes = encodeRetryInfo(8, 'busy', 1234)
      bytes[at % bytes.length] = byte
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), broken), bytes => {
      const delayMs = decodeRetryInfo(bytes)
      expect(delayMs === undefined || delayMs >= 0).toBe(true)
    }),
    { numRuns: 2_000 },
  )
})
