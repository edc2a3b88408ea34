import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import type { Decision, Limiter } from './limiter.ts'
import { type Reservation, reserve } from './reserve.ts'
import { shadow } from './shadow.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'

const kinds: Record<string, (limit: number) => Limiter> = {
  tokenBucket: burst => tokenBucket({ ratePerSecond: 5, burst }),
  fixedWindow: limit => fixedWindow({ limit, windowMs: 1000 }),
  slidingWindow: limit => slidingWindow({ limit, windowMs: 1000, buckets: 4 }),
  slidingLog: limit => slidingLog({ limit, windowMs: 1000 }),
  concurrency: limit => concurrency({ limit }),
}
const kind = fc.constantFrom(...Object.keys(kinds))

describe('reservations, in whatever order they are settled', () => {
  it('come to what was used, as if that had been taken at first, where all is settled at that instant', () => {
    const work = fc.record({ key: fc.constantFrom('a', 'b'), estimate: fc.nat(8), used: fc.nat(8) })
    fc.assert(
      fc.property(
        kind,
        fc.integer({ min: 1, max: 30 }),
        fc.array(work, { maxLength: 20 }),
        fc.array(fc.nat(), { minLength: 20, maxLength: 20 }),
        (name, limit, works, order) => {
          const [reserved, taken] = [kinds[name]!(limit), kinds[name]!(limit)]
          const held: Record<string, number> = { a: 0, b: 0 }
          const open: [Reservation, number][] = []
          for (const { key, estimate, used } of works) {
            // Never more than was reserved: what is charged beyond that may be more than there is.
            const actual = Math.min(estimate, used)
            const reservation = reserve(reserved, key, estimate, 0)
            expect(reservation.decision.allowed).toBe(held[key]! + estimate <= limit || estimate === 0)
            open.push([reservation, actual])
            if (!reservation.decision.allowed) continue
            held[key]! += estimate
            taken.charge(key, actual, 0)
          }
          // Not in the order in which they were made.
          const shuffled = open.map((each, i) => [order[i]!, each] as const).sort(([a], [b]) => a - b)
          for (const [, [reservation, actual]] of shuffled) {
            if (actual === 0) reservation.cancel(0)
            else reservation.settle(actual, 0)
            // Only the first word counts.
            reservation.cancel(0)
            reservation.settle(1000, 0)
          }
          for (const key of ['a', 'b']) {
            const { allowed, remaining, retryAfterMs } = taken.peek(key, 1, 0)
            expect(reserved.peek(key, 1, 0)).toMatchObject({ allowed, remaining, retryAfterMs })
          }
        },
      ),
    )
  })

  it('change nothing by a number that is none, and stay open', () => {
    fc.assert(
      fc.property(
        kind,
        fc.integer({ min: 1, max: 10 }),
        fc.oneof(
          fc.constantFrom(Number.NaN, Infinity, -Infinity, -1, 0.5, 2 ** 60, '3', null, undefined),
          fc.double({ max: -1e-9 }),
        ),
        (name, cost, nonsense) => {
          const limiter = kinds[name]!(10)
          const reservation = reserve(limiter, 'a', cost, 0)
          expect(() => reservation.settle(nonsense as number, 0)).toThrow(RangeError)
          expect(limiter.peek('a', 1, 0).remaining).toBe(10 - cost)
          reservation.cancel(0)
          expect(limiter.peek('a', 1, 0).remaining).toBe(10)
        },
      ),
    )
  })
})

describe('shadow, on any traffic', () => {
  const step = fc.record({
    dt: fc.constantFrom(0, 0, 1, 200, 250, 1000),
    key: fc.constantFrom('a', 'b'),
    cost: fc.nat(6),
    peek: fc.boolean(),
  })

  it('grants everything, says just what the limit in force would, and counts what that would refuse', () => {
    const timed = kind.filter(name => name !== 'concurrency')
    fc.assert(
      fc.property(timed, fc.nat(6), fc.array(step, { maxLength: 60, size: 'max' }), (name, limit, steps) => {
        const [watching, inForce] = [shadow(kinds[name]!(limit)), kinds[name]!(limit)]
        let [now, refused] = [0, 0]
        for (const { dt, key, cost, peek } of steps) {
          now += dt
          const ask = (limiter: Limiter): Decision => limiter[peek ? 'peek' : 'take'](key, cost, now)
          const [said, real] = [ask(watching), ask(inForce)]
          if (!real.allowed && !peek) refused++
          expect(said).toEqual(
            real.allowed ? real : { ...real, allowed: true, retryAfterMs: 0, shadowed: true },
          )
        }
        expect(watching.snapshot()).toEqual({ shadowed: refused, limit: inForce.snapshot() })
      }),
    )
  })

  it('holds all that it lets through, so that each release has something to release', () => {
    fc.assert(
      fc.property(fc.nat(4), fc.array(step, { maxLength: 60, size: 'max' }), (limit, steps) => {
        const inner = concurrency({ limit })
        const watching = shadow(inner)
        const open: [string, number][] = []
        for (const { dt, key, cost, peek } of steps) {
          if (peek) {
            const [done] = open.splice(dt % Math.max(1, open.length), 1)
            if (done !== undefined) watching.release!(...done)
          } else {
            expect(watching.take(key, cost, 0).allowed).toBe(true)
            open.push([key, cost])
          }
          expect(inner.snapshot().held).toBe(open.reduce((sum, [, cost]) => sum + cost, 0))
        }
        for (const done of open) watching.release!(...done)
        expect(inner.snapshot()).toMatchObject({ held: 0, keys: 0 })
      }),
    )
  })
})
