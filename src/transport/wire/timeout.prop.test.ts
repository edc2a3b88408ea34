import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeGrpcTimeout, decodeHttpTimeout, encodeGrpcTimeout, encodeHttpTimeout } from './timeout.ts'

const duration = fc.oneof(
  fc.double({ min: 0, max: 1e17, noNaN: true }),
  fc.double({ min: 0, max: 100_000, noNaN: true }),
  fc.double({ min: 0, max: 1e-3, noNaN: true }),
  fc.integer({ min: 0, max: 2 ** 31 }),
  // Around the places where the unit changes.
  fc
    .tuple(
      fc.constantFrom(99.999999, 99_999.999, 99_999_999, 99_999_999e3, 99_999_999 * 6e4),
      fc.double({ min: -2, max: 2, noNaN: true }),
    )
    .map(([edge, by]) => edge + by),
)

const unitMs: Record<string, number> = { n: 1e-6, u: 1e-3, m: 1, S: 1e3, M: 6e4, H: 3.6e6 }

test('a duration never grows in grpc-timeout, and shrinks by less than a unit of the finest that fits', () => {
  fc.assert(
    fc.property(duration, ms => {
      const text = encodeGrpcTimeout(ms)!
      expect(text).toMatch(/^\d{1,8}[HMSmun]$/)
      const decoded = decodeGrpcTimeout(text)!
      expect(decoded).toBeLessThanOrEqual(ms)
      if (decoded === 0 || text === '99999999H') return
      const unit = unitMs[text.at(-1)!]!
      // Of neighbouring numbers of this size not all can be told apart.
      expect(ms - decoded).toBeLessThan(unit * 1.001 + ms * 1e-12)
      if (ms > 1) expect(decoded).toBeGreaterThan(ms * 0.9999)
    }),
    { numRuns: 2_000 },
  )
})

test('a duration never grows in the HTTP header, and shrinks by less than a millisecond', () => {
  fc.assert(
    fc.property(duration, ms => {
      const text = encodeHttpTimeout(ms)!
      expect(text).toMatch(/^\d{1,16}$/)
      const decoded = decodeHttpTimeout(text)!
      expect(decoded).toBeLessThanOrEqual(ms)
      expect(decoded).toBeGreaterThan(Math.min(ms, Number.MAX_SAFE_INTEGER) - 1)
    }),
  )
})

test('no limit has no header, and no time left is written as none', () => {
  expect(encodeGrpcTimeout(Infinity)).toBeUndefined()
  expect(encodeHttpTimeout(Infinity)).toBeUndefined()
  for (const none of [0, -0, -1, -Infinity]) {
    expect(decodeGrpcTimeout(encodeGrpcTimeout(none)!)).toBe(0)
    expect(decodeHttpTimeout(encodeHttpTimeout(none)!)).toBe(0)
  }
})

test('any text is a duration or nothing; what is not written exactly right is nothing', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc
      .tuple(fc.string({ maxLength: 3 }), fc.nat(), fc.constantFrom(...'HMSmun'), fc.string({ maxLength: 3 }))
      .map(parts => parts.join('')),
  )
  fc.assert(
    fc.property(text, value => {
      for (const [decode, grammar] of [
        [decodeGrpcTimeout, /^[0-9]{1,8}[HMSmun]$/],
        [decodeHttpTimeout, /^[0-9]{1,16}$/],
      ] as const) {
        const decoded = decode(value)
        expect(decoded !== undefined).toBe(grammar.test(value) && !value.includes('\n'))
        if (decoded !== undefined) expect(decoded).toBeGreaterThanOrEqual(0)
      }
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  '',
  '1',
  'm',
  '-1m',
  '+1m',
  '1.5S',
  '1e3m',
  ' 1m',
  '1m ',
  '1m\n',
  '100000000m',
  '1ms',
  '1m, 2m',
  '\u0661m',
  '0x1m',
])('%j is no grpc-timeout', text => {
  expect(decodeGrpcTimeout(text)).toBeUndefined()
})
