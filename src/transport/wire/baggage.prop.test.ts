import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { mergeBaggage, parseBaggage } from './baggage.ts'

const name = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.!'), minLength: 1, maxLength: 12 }),
  fc.constantFrom('constructor', 'toString', '__proto__', 'hasOwnProperty', 'criticality', 'tenant'),
)
const others = fc.array(
  fc.tuple(
    name.filter(key => key !== 'criticality' && key !== 'tenant'),
    fc.string({ unit: 'binary', maxLength: 12 }).map(encodeURIComponent),
    fc.constantFrom('', ';p', ';p=1;q', ' ; p = 1'),
  ),
  { maxLength: 6 },
)

test('parsing takes any header', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'a=;,% \t"') })),
      header => {
        const members = parseBaggage(header)
        for (const [key, value] of members) {
          expect(key).not.toBe('')
          expect(typeof value).toBe('string')
        }
      },
    ),
    { numRuns: 1_000 },
  )
})

test('what is merged in is read back, whatever it is, and every other member stays as it was', () => {
  fc.assert(
    fc.property(others, fc.string({ unit: 'binary', minLength: 1 }), (members, tenant) => {
      const existing = members.map(([key, value, properties]) => `${key}=${value}${properties}`)
      const old = ['tenant=old', 'criticality=sheddable;p=1', 'tenant;p']
      const header = mergeBaggage([...existing, ...old].join(' , '), { tenant, criticality: undefined })!
      expect(header).toMatch(/^[\x20-\x7e]*$/)
      expect(header.split(',').slice(0, -1)).toEqual(existing)
      expect(parseBaggage(header).get('tenant')).toBe(tenant)
      expect(parseBaggage(header).has('criticality')).toBe(false)
    }),
  )
})

describe('baggage', () => {
  it.each([
    ['a=1', { a: '1' }],
    [' a = 1 ;p=2, b = x%20y ', { a: '1', b: 'x y' }],
    ['a=1,a=2', { a: '2' }],
    ['a=b=c', { a: 'b=c' }],
    ['a=%,b=1', { b: '1' }],
    ['a,=1,;,b=', { b: '' }],
    ['', {}],
  ])('%j has the members %j', (header, members) => {
    expect(Object.fromEntries(parseBaggage(header))).toEqual(members)
  })

  it('does not read a header beyond the limits of the specification', () => {
    expect(parseBaggage(`a=${'1'.repeat(8_190)}`).size).toBe(1)
    expect(parseBaggage(`a=${'1'.repeat(8_191)}`).size).toBe(0)
    expect(parseBaggage('a=1,'.repeat(179)).size).toBe(1)
    expect(parseBaggage('a=1,'.repeat(180)).size).toBe(0)
  })

  it('writes a name that is cut in the middle of a character', () => {
    const header = mergeBaggage(undefined, { tenant: 'a\ud83d' })!
    expect(parseBaggage(header).get('tenant')).toBe('a\ufffd')
  })

  it('leaves nothing where there is nothing', () => {
    expect(mergeBaggage(undefined, { tenant: undefined })).toBeUndefined()
    expect(mergeBaggage(' , ', {})).toBeUndefined()
    expect(mergeBaggage('tenant=a', { tenant: undefined })).toBeUndefined()
  })
})
