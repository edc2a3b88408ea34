import { expect, test } from 'vitest'
import { seededRandom } from './seeded-random.ts'

test('the same seed gives the same numbers, another one others', () => {
  const draw = (seed: number) => Array.from({ length: 50 }, seededRandom(seed))
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7)).not.toEqual(draw(8))
})

test('the numbers are spread evenly from 0 up to 1', () => {
  for (const seed of [0, 1, -5, 2 ** 31]) {
    const random = seededRandom(seed)
    const buckets = new Array(10).fill(0)
    for (let i = 0; i < 20_000; i++) buckets[Math.floor(random() * 10)]++
    expect(buckets).toHaveLength(10)
    for (const count of buckets) expect(Math.abs(count - 2_000)).toBeLessThan(250)
  }
})
