import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeKey, KeyNames, keyName } from './keys.ts'

const limits = [
  { name: 'a', keyBy: undefined },
  { name: 'b', keyBy: undefined },
]

/** What Redis Cluster hashes: what stands in the first pair of braces. */
const tagOf = (key: string): string => /\{([^}]+)\}/.exec(key)![1]!

test('a plain key stands in Redis as it is', () => {
  expect(new KeyNames('api', limits).of('user-7')).toEqual([
    'spillway:{api/user-7}:a',
    'spillway:{api/user-7}:b',
    'spillway:{api/user-7}:#block',
  ])
})

test.each([['user}{x'], ['a:b'], ['#abc'], [''], ['__proto__'], ['\ud800'], ['x'.repeat(1_000_000)]])(
  'braces, separators and megabytes in keys move nothing to another server: %.20s',
  key => {
    const names = new KeyNames('api', limits).of(key)
    expect(new Set(names.map(tagOf)).size).toBe(1)
    expect(new Set(names).size).toBe(3)
    for (const name of names) expect(name.length).toBeLessThan(140)
  },
)

test('different keys are written differently', () => {
  const text = fc.string({
    unit: fc.constantFrom('{', '}', ':', '#', '/', 'a', '\ud800', '\udfff', '\u0000'),
  })
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(encodeKey(a) === encodeKey(b)).toBe(a === b)
      expect(encodeKey(encodeKey(a)) === encodeKey(a)).toBe(!encodeKey(a).startsWith('#'))
    }),
  )
})

test('a limit that spans keys lies together with the others', () => {
  const shared = [limits[0]!, { name: 'tenant', keyBy: (key: string) => key.split('/')[0]! }]
  const all = new KeyNames('api', shared)
  expect(tagOf(all.of('t/1')[0]!)).toBe(tagOf(all.of('u/2')[0]!))
  const perTenant = new KeyNames('api', shared, key => key.split('/')[0]!)
  expect(perTenant.of('t/1')).toEqual([
    'spillway:{api/t}:a:t/1',
    'spillway:{api/t}:tenant:t',
    'spillway:{api/t}:#block:t/1',
  ])
})

test.each(['', 'a:b', 'a/b', '{a}', '#a', 'x'.repeat(65), 7])('refuses the name %s', name => {
  expect(() => keyName('name', name as string)).toThrow('Expected `name` to be 1 to 64 characters')
})
