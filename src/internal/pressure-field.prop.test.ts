import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parsePressure, pressureStep, pressureText } from './pressure-field.ts'

describe('a pressure on the wire', () => {
  test('comes out as it went in, to a hundredth', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), pressure => {
        expect(Math.abs(parsePressure(pressureText(pressure)) - pressure)).toBeLessThanOrEqual(0.005 + 1e-9)
      }),
    )
  })

  test('is not told of where there is none to speak of', () => {
    expect(pressureText(0)).toBeUndefined()
    expect(pressureText(0.004)).toBeUndefined()
    expect(pressureText(0.006)).toBe('0.01')
    expect(pressureText(1)).toBe('1.00')
  })

  test('stays within its bounds, whatever a shedder says', () => {
    expect(pressureStep(7)).toBe(100)
    expect(pressureStep(-1)).toBe(0)
  })

  test('whatever anybody writes there is a number from 0 to 1', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.constantFrom('1.1', '-0', '0x1', '1e-1', ' 1', ''),
    )
    fc.assert(
      fc.property(texts, text => {
        const pressure = parsePressure(text)
        expect(pressure >= 0 && pressure <= 1).toBe(true)
      }),
    )
    expect(parsePressure(undefined)).toBe(0)
    expect(parsePressure(null)).toBe(0)
  })
})
