import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chain } from '../core/chain.ts'
import { openContext } from '../core/context.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { concurrency } from './concurrency.ts'
import type { Decision } from './limiter.ts'
import { rateLimit } from './rate-limit.ts'

interface Step {
  readonly what: 'take' | 'peek' | 'release' | 'refund' | 'charge' | 'block' | 'limit'
  readonly key: string
  readonly cost: number
  /** Which of those that are open to release, or by how much time goes on. */
  readonly pick: number
}

const keys = ['a', 'b', '__proto__', '']

const steps = (among: readonly string[], what: readonly Step['what'][]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      what: fc.constantFrom(...what),
      key: fc.constantFrom(...among),
      cost: fc.nat(4),
      pick: fc.nat(40),
    }),
    { maxLength: 120, size: 'max' },
  )

/** What a key holds, grant by grant. */
type Held = Map<string, number[]>

const sum = (costs: readonly number[]): number => costs.reduce((a, b) => a + b, 0)

function naive(limit: number, held: number, blockedMs: number, cost: number): Partial<Decision> {
  const room = blockedMs > 0 ? 0 : Math.max(0, limit - held)
  const never = cost > limit || limit === 0
  const allowed = !never && blockedMs === 0 && (cost === 0 || held + cost <= limit)
  return {
    allowed,
    limit,
    remaining: room,
    retryAfterMs: allowed ? 0 : never ? Infinity : blockedMs || 1000,
    resetAfterMs: held === 0 ? 0 : Infinity,
  }
}

describe('concurrency, in whatever order places are taken and given back', () => {
  it('decides and counts exactly as a naive list of what is open does', () => {
    fc.assert(
      fc.property(
        fc.nat(6),
        steps(keys, [
          'take',
          'take',
          'take',
          'peek',
          'release',
          'release',
          'refund',
          'charge',
          'block',
          'limit',
        ]),
        (first, trace) => {
          let limit = first
          let now = 0
          const limiter = concurrency({ limit })
          const held: Held = new Map(keys.map(key => [key, []]))
          const blockedUntil = new Map<string, number>()
          for (const { what, key, cost, pick } of trace) {
            const mine = held.get(key)!
            now += pick % 3
            if (what === 'take' || what === 'peek') {
              const blocked = Math.max(0, (blockedUntil.get(key) ?? 0) - now)
              const expected = naive(limit, sum(mine), blocked, cost)
              expect(limiter.peek(key, cost, now)).toMatchObject(expected)
              if (what === 'peek') continue
              const decision = limiter.take(key, cost, now)
              expect(decision.allowed).toBe(expected.allowed)
              if (decision.allowed && cost > 0) {
                mine.push(cost)
                expect(decision).toMatchObject({ remaining: limit - sum(mine), resetAfterMs: Infinity })
              }
            } else if (what === 'release') {
              // Not the oldest one: whoever is done first.
              const [done] = mine.splice(pick % Math.max(1, mine.length), 1)
              if (done !== undefined) limiter.release!(key, done)
            } else if (what === 'refund' && mine.length > 0) {
              const part = Math.min(cost, mine[0]!)
              limiter.refund(key, part, now)
              mine[0]! -= part
            } else if (what === 'charge') {
              limiter.charge(key, cost, now)
              if (cost > 0) mine.push(cost)
            } else if (what === 'block') {
              limiter.block(key, pick, now)
              blockedUntil.set(key, now + pick)
            } else if (what === 'limit') {
              limit = cost
              limiter.update({ limit })
            }
            const sums = [...held.values()].map(sum)
            expect(limiter.snapshot()).toMatchObject({
              held: sum(sums),
              keys: sums.filter(each => each > 0).length,
            })
          }
          for (const [key, costs] of held) for (const cost of costs) limiter.release!(key, cost)
          expect(limiter.snapshot()).toMatchObject({ held: 0, keys: 0 })
        },
      ),
    )
  })

  it('changes nothing when it denies, when it is peeked at, and for a cost of 0', () => {
    fc.assert(
      fc.property(
        fc.nat(6),
        steps(['a', 'b', 'c', 'd'], ['take', 'take', 'peek', 'release']),
        fc.constantFrom(2, 100),
        (limit, trace, maxKeys) => {
          const [one, other] = [concurrency({ limit, maxKeys }), concurrency({ limit, maxKeys })]
          const open: { key: string; cost: number }[] = []
          for (const { what, key, cost, pick } of trace) {
            if (what === 'release') {
              const [done] = open.splice(pick % Math.max(1, open.length), 1)
              if (done !== undefined) for (const each of [one, other]) each.release!(done.key, done.cost)
            } else if (what === 'peek') one.peek(key, cost)
            else {
              const decision = one.take(key, cost)
              if (!decision.allowed || cost === 0) continue
              expect(other.take(key, cost)).toEqual(decision)
              open.push({ key, cost })
            }
          }
          for (const key of ['a', 'b', 'c', 'd']) expect(one.peek(key)).toEqual(other.peek(key))
          expect(one.snapshot().held).toBe(other.snapshot().held)
        },
      ),
    )
  })

  it('keeps its bound of keys and of what they hold when there are more keys, and loses no place', () => {
    const crowd = Array.from({ length: 12 }, (_, i) => `caller ${i}`)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        steps(crowd, ['take', 'take', 'release']),
        (limit, maxKeys, trace) => {
          const limiter = concurrency({ limit, maxKeys })
          const open: { key: string; cost: number }[] = []
          for (const { what, key, cost, pick } of trace) {
            if (what === 'release') {
              const [done] = open.splice(pick % Math.max(1, open.length), 1)
              if (done !== undefined) limiter.release!(done.key, done.cost)
            } else if (limiter.take(key, cost).allowed && cost > 0) open.push({ key, cost })
            const { held, keys } = limiter.snapshot()
            expect(held).toBe(sum(open.map(({ cost }) => cost)))
            expect(held).toBeLessThanOrEqual((maxKeys + 1) * limit)
            expect(keys).toBeLessThanOrEqual(maxKeys)
            const own = sum(open.filter(each => each.key === key).map(({ cost }) => cost))
            expect(own).toBeLessThanOrEqual(2 * limit)
          }
          for (const { key, cost } of open) limiter.release!(key, cost)
          expect(limiter.snapshot()).toMatchObject({ held: 0, keys: 0 })
        },
      ),
    )
  })

  it('holds what is in progress behind rateLimit(), and releases it once, however and in whatever order it ends', async () => {
    const call = fc.record({
      key: fc.constantFrom('a', 'b'),
      cost: fc.nat(3),
      end: fc.constantFrom('answer', 'fail', 'throw', 'cancel'),
      /** How many calls later it ends. */
      after: fc.nat(6),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.nat(5),
        fc.array(call, { maxLength: 40, size: 'max' }),
        fc.boolean(),
        async (limit, calls, asLayer) => {
          const clock = manualClock()
          const limiter = concurrency({ limit, clock })
          const held = new Map<string, number>([
            ['a', 0],
            ['b', 0],
          ])
          type Work = { key: string; cost: number; end: string; settle(): void }
          const ends: { at: number; end(): void }[] = []
          let began = 0
          const protect = chain(
            rateLimit<Work>(limiter, {
              key: ({ key }) => key,
              cost: ({ cost }) => cost,
              ...(asLayer && { actualCost: (_, { cost }) => cost }),
            }),
          )((work: Work) => {
            began++
            if (work.end === 'throw') throw new Error('at once')
            return new Promise<string>((resolve, reject) => {
              work.settle = () => (work.end === 'answer' ? resolve('done') : reject(new Error('failed')))
            })
          })
          const answers: Promise<unknown>[] = []
          const check = (): void => {
            const { held: all } = limiter.snapshot()
            expect(all).toBe(held.get('a')! + held.get('b')!)
            expect(all).toBeLessThanOrEqual(2 * limit)
          }
          for (const [i, { key, cost, end, after }] of calls.entries()) {
            for (const due of ends.filter(({ at }) => at === i)) due.end()
            await clock.advance(0)
            check()
            const before = began
            const open = openContext({ clock })
            const work: Work = { key, cost, end, settle() {} }
            answers.push(protect(work, open.context).catch(error => error))
            const granted = limit > 0 && held.get(key)! + cost <= limit
            await clock.advance(0)
            expect(began - before).toBe(granted ? 1 : 0)
            if (!granted || end === 'throw') continue
            held.set(key, held.get(key)! + cost)
            ends.push({
              at: i + 1 + after,
              end() {
                if (end === 'cancel') open.cancel()
                work.settle()
                held.set(key, held.get(key)! - cost)
              },
            })
          }
          for (const due of ends.filter(({ at }) => at >= calls.length)) due.end()
          await Promise.all(answers)
          await clock.advance(0)
          expect(limiter.snapshot()).toMatchObject({ held: 0, keys: 0 })
        },
      ),
      { numRuns: 60 },
    )
  })
})
