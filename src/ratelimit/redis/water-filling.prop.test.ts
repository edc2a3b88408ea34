import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Claim, waterFilling } from './water-filling.ts'

const claims = fc.array(
  fc.record({
    wants: fc.integer({ min: 0, max: 1_000 }),
    weight: fc.integer({ min: 1, max: 8 }),
    rank: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
)
const capacities = fc.integer({ min: 0, max: 5_000 })
const CLOSE = 1e-6
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

test('nobody gets more than he wants, and nothing is left while somebody wants more', () => {
  fc.assert(
    fc.property(capacities, claims, (capacity, all) => {
      const shares = waterFilling(capacity, all)
      for (const [i, share] of shares.entries()) {
        expect(share).toBeGreaterThanOrEqual(0)
        expect(share).toBeLessThanOrEqual(all[i]!.wants + CLOSE)
      }
      const wanted = sum(all.map(claim => claim.wants))
      expect(Math.abs(sum(shares) - Math.min(capacity, wanted))).toBeLessThan(CLOSE)
    }),
  )
})

test('whoever wants more than he gets could have more only from somebody with no more for his weight, or less important', () => {
  fc.assert(
    fc.property(capacities, claims, (capacity, all) => {
      const shares = waterFilling(capacity, all)
      for (const [i, own] of all.entries()) {
        if (shares[i]! >= own.wants - CLOSE) continue
        for (const [j, other] of all.entries()) {
          if (other.rank > own.rank) expect(shares[j]).toBeLessThan(CLOSE)
          if (other.rank !== own.rank) continue
          expect(shares[j]! / other.weight).toBeLessThanOrEqual(shares[i]! / own.weight + CLOSE)
        }
      }
    }),
  )
})

test('is the slow pouring of one drop at a time', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
      (capacity, wants) => {
        const drop = 1 / 64
        const poured: number[] = wants.map(() => 0)
        for (let left = capacity / drop; left > 0; left--) {
          const thirsty = wants.map((_, i) => i).filter(i => poured[i]! < wants[i]!)
          if (thirsty.length === 0) break
          const lowest = thirsty.reduce((a, b) => (poured[b]! < poured[a]! ? b : a))
          poured[lowest] = poured[lowest]! + drop
        }
        const shares = waterFilling(
          capacity,
          wants.map((w): Claim => ({ wants: w })),
        )
        for (const [i, share] of shares.entries())
          expect(Math.abs(share - poured[i]!)).toBeLessThanOrEqual(drop)
      },
    ),
    { numRuns: 30 },
  )
})

test('no order of the claims makes a difference', () => {
  fc.assert(
    fc.property(capacities, claims, (capacity, all) => {
      const turned = waterFilling(capacity, all.toReversed()).toReversed()
      for (const [i, share] of waterFilling(capacity, all).entries())
        expect(Math.abs(share - turned[i]!)).toBeLessThan(CLOSE)
    }),
  )
})
