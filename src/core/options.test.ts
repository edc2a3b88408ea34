import { describe, expect, it } from 'vitest'
import { choiceOption, functionOption, knownOptions, nameOption, numberOption } from './options.ts'

describe('numberOption', () => {
  it('gives back a number within the bounds, both ends included', () => {
    expect(numberOption('x', 0, { min: 0 })).toBe(0)
    expect(numberOption('x', 1, { min: 0, max: 1 })).toBe(1)
    expect(numberOption('x', -7.5)).toBe(-7.5)
    expect(numberOption('x', 0.1, { min: 0, above: true })).toBe(0.1)
    expect(numberOption('x', 3, { integer: true })).toBe(3)
    expect(numberOption('x', Infinity, { infinite: true, integer: true })).toBe(Infinity)
  })

  it.each([
    [-3, { min: 1 }, 'Expected `burst` to be a number from 1 up, got -3'],
    [0, { min: 0, above: true }, 'Expected `burst` to be a number above 0, got 0'],
    [2, { min: 0, max: 1 }, 'Expected `burst` to be a number from 0 to 1, got 2'],
    [0, { min: 0, max: 1, above: true }, 'Expected `burst` to be a number above 0 to 1, got 0'],
    [2, { max: 1 }, 'Expected `burst` to be a number up to 1, got 2'],
    [1.5, { min: 1, integer: true }, 'Expected `burst` to be a whole number from 1 up, got 1.5'],
    [Number.NaN, {}, 'Expected `burst` to be a number, got NaN'],
    [Infinity, { min: 0 }, 'Expected `burst` to be a number from 0 up, got Infinity'],
    [-Infinity, { infinite: true, min: 0 }, 'Expected `burst` to be a number from 0 up, got -Infinity'],
    ['10', { min: 0 }, 'Expected `burst` to be a number from 0 up, got "10"'],
    [10n, {}, 'Expected `burst` to be a number, got 10'],
    [undefined, {}, 'Expected `burst` to be a number, got undefined'],
    [null, {}, 'Expected `burst` to be a number, got null'],
    [[1], {}, 'Expected `burst` to be a number, got an array'],
    [{}, {}, 'Expected `burst` to be a number, got an object'],
    [() => 1, {}, 'Expected `burst` to be a number, got a function'],
    [Symbol('s'), {}, 'Expected `burst` to be a number, got Symbol(s)'],
  ])('refuses %o within %o', (value, bounds, message) => {
    expect(() => numberOption('burst', value, bounds)).toThrow(new RangeError(message))
  })
})

describe('the other options', () => {
  it('are given back when they fit', () => {
    const work = (): void => {}
    expect(choiceOption('mode', 'b', ['a', 'b'])).toBe('b')
    expect(functionOption('key', work)).toBe(work)
    expect(nameOption('name', 'api')).toBe('api')
    expect(knownOptions('limiter', { a: 1 }, ['a', 'b'])).toBeUndefined()
  })

  it('are refused with what was expected and what came', () => {
    expect(() => choiceOption('mode', 'c', ['a', 'b'])).toThrow(
      new TypeError(`Expected \`mode\` to be one of 'a', 'b', got "c"`),
    )
    expect(() => functionOption('key', 'id' as never)).toThrow('Expected `key` to be a function, got "id"')
    expect(() => nameOption('name', '')).toThrow('Expected `name` to be a string that is not empty, got ""')
    expect(() => nameOption('name', 'x'.repeat(100))).not.toThrow()
    expect(() => choiceOption('mode', 'x'.repeat(100), ['a'])).toThrow(`"${'x'.repeat(60)}…"`)
    expect(() => knownOptions('limiter', { brust: 3 }, ['burst', 'name'])).toThrow(
      new TypeError('limiter has no option `brust`; it has `burst`, `name`'),
    )
    expect(() => knownOptions('limiter', undefined as never, [])).toThrow(
      'Expected the options of limiter to be an object, got undefined',
    )
  })
})
