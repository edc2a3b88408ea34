/**
 * One list of properties for every limiter, wherever it keeps its state: exact decisions, exact numbers in them, the
 * stated bound, and what must not make a difference. A limiter over a network is asked the same questions.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Decision } from '../../src/ratelimit/limiter.ts'
import { type Model, roomOf, waitOf } from './limiter-models.ts'

/** A limiter under test. Times are microseconds from its first call. */
export interface Subject {
  take(key: string, cost: number, atUs: number): Decision | Promise<Decision>
  peek(key: string, cost: number, atUs: number): Decision | Promise<Decision>
  refund(key: string, cost: number, atUs: number): void | Promise<void>
  /** Grants that were counted on state that several keys share. @default 0 */
  overflowed?(): number
}

export interface Conformance<P> {
  readonly params: fc.Arbitrary<P>
  /** @param maxKeys how many keys in use must have state of their own, if that can be chosen */
  make(params: P, maxKeys: number): Subject | Promise<Subject>
  model(params: P): Model
  /** The most that is granted at one instant. */
  limit(params: P): number
  /** Durations at which something changes, in microseconds. */
  edges(params: P): readonly number[]
  /** The most that may be granted in any closed interval of this many microseconds. */
  bound(params: P, durationUs: number): number
  /** Whether giving back at the same instant restores the state exactly. @default true */
  readonly restores?: boolean
  /** Whether the model is exact, or an upper bound only. @default true */
  readonly exact?: boolean
  readonly runs?: number
}

interface Call {
  readonly dt: number
  readonly key: string
  readonly cost: number
  readonly peek: boolean
}

/** Keys that trip up objects used as maps, joined keys and hash tags. */
const keys = ['a', 'b', '__proto__', 'constructor', '', 'a:b', '{a}', 'x'.repeat(2000)]
/** More than the smallest table has rows. */
const crowd = Array.from({ length: 60 }, (_, i) => `caller ${i}`)

function calls(limit: number, edges: readonly number[], among: readonly string[]): fc.Arbitrary<Call[]> {
  const around = edges.flatMap(edge => [edge - 1, edge, edge + 1]).filter(dt => dt >= 0)
  const dt = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(0, 0, 1, ...around.map(Math.round)) },
    { weight: 4, arbitrary: fc.nat(2 * Math.ceil(Math.max(1000, ...edges.slice(0, 1)))) },
    { weight: 1, arbitrary: fc.constantFrom(86_400_000_000, 30 * 86_400_000_000) },
    // A clock that goes back: the limiter has to stay where it is.
    { weight: 1, arbitrary: fc.integer({ min: -5_000_000, max: -1 }) },
  )
  return fc.array(
    fc.record({
      dt,
      key: fc.constantFrom(...among),
      cost: fc.oneof(
        { weight: 6, arbitrary: fc.constant(1) },
        { weight: 3, arbitrary: fc.integer({ min: 0, max: limit + 1 }) },
      ),
      peek: fc.boolean(),
    }),
    { minLength: 1, maxLength: 60, size: 'max' },
  )
}

interface Asked extends Call {
  readonly at: number
  readonly now: number
  readonly decision: Decision
}

/** Plays `trace`; `at` is what the clock says, `now` the latest that it ever said. */
async function play(subject: Subject, trace: readonly Call[]): Promise<Asked[]> {
  const asked: Asked[] = []
  let at = 0
  let now = 0
  await subject.peek('a', 1, 0)
  for (const call of trace) {
    at = Math.max(0, at + call.dt)
    now = Math.max(now, at)
    const decision = await subject[call.peek ? 'peek' : 'take'](call.key, call.cost, at)
    asked.push({ ...call, at, now, decision })
  }
  return asked
}

function outline({ allowed, remaining, retryAfterMs }: Decision): object {
  return { allowed, remaining, retryAfterMs }
}

/** Registers the tests. Call it inside a `describe`. */
export function itConforms<P>(about: Conformance<P>): void {
  const { runs = 100, restores = true, exact = true } = about
  const settings = (params: P) => ({ limit: about.limit(params), edges: about.edges(params) })
  const traces = (among: readonly string[]): fc.Arbitrary<{ params: P; trace: Call[] }> =>
    about.params.chain(params => {
      const { limit, edges } = settings(params)
      return calls(limit, edges, among).map(trace => ({ params, trace }))
    })

  describe('properties of every limiter', () => {
    if (exact)
      it('decides, counts and predicts exactly as the naive model does, key by key', async () => {
        await fc.assert(
          fc.asyncProperty(traces(keys), async ({ params, trace }) => {
            const limit = about.limit(params)
            const models = new Map<string, Model>()
            for (const { key, cost, now, peek, decision } of await play(
              await about.make(params, 64),
              trace,
            )) {
              let model = models.get(key)
              if (model === undefined) {
                model = about.model(params)
                models.set(key, model)
              }
              const [time, amount] = [BigInt(now), BigInt(cost)]
              if (cost > limit || limit === 0) {
                expect(decision).toMatchObject({ allowed: false, retryAfterMs: Infinity })
              } else if (cost === 0) {
                expect(decision).toMatchObject({ allowed: true, retryAfterMs: 0 })
              } else {
                const wait = waitOf(model, time, amount)
                // The limiter may know it more finely than in whole microseconds.
                expect(Math.ceil(Math.max(0, decision.retryAfterMs * 1000 - 1e-4))).toBe(Number(wait))
                expect(decision.allowed).toBe(wait === 0n)
                if (decision.allowed && !peek) model.add(time, amount)
              }
              expect(decision.remaining).toBe(roomOf(model, time, limit))
              expect(decision.limit).toBe(limit)
            }
          }),
          { numRuns: runs },
        )
      })

    /** By how much the grants of one key exceed the bound, over all intervals. */
    const excess = (params: P, asked: readonly Asked[]): number => {
      const granted = asked.filter(({ decision }) => decision.allowed)
      let most = 0
      for (const [i, first] of granted.entries()) {
        let sum = 0
        for (const last of granted.slice(i)) {
          sum += last.cost
          most = Math.max(most, sum - about.bound(params, last.now - first.now))
        }
      }
      return most
    }

    it('keeps its bound over every interval', async () => {
      await fc.assert(
        fc.asyncProperty(traces(['a']), async ({ params, trace }) => {
          const takes = trace.map(call => ({ ...call, peek: false }))
          const asked = await play(await about.make(params, 64), takes)
          expect(excess(params, asked)).toBeLessThanOrEqual(1e-9)
        }),
        { numRuns: runs },
      )
    })

    it('changes nothing when it denies, when it is peeked at, and for a cost of 0', async () => {
      await fc.assert(
        fc.asyncProperty(traces(['a', 'b']), async ({ params, trace }) => {
          const asked = await play(await about.make(params, 64), trace)
          const effective = asked.filter(({ decision, peek, cost }) => decision.allowed && !peek && cost > 0)
          const other = await about.make(params, 64)
          await other.peek('a', 1, 0)
          for (const { key, cost, now, decision } of effective) {
            expect(outline(await other.take(key, cost, now))).toEqual(outline(decision))
          }
        }),
        { numRuns: runs },
      )
    })

    it('grants after exactly the wait that it named, and not a microsecond before', async () => {
      await fc.assert(
        fc.asyncProperty(traces(['a']), fc.boolean(), async ({ params, trace }, early) => {
          const subject = await about.make(params, 64)
          const asked = await play(subject, trace)
          const cost = Math.max(1, about.limit(params))
          const { now } = asked.at(-1)!
          const { retryAfterMs } = await subject.peek('a', cost, now)
          if (retryAfterMs === Infinity || retryAfterMs === 0) return
          const then = now + retryAfterMs * 1000
          if (early) expect((await subject.peek('a', cost, Math.max(now, then - 1))).allowed).toBe(false)
          else expect((await subject.peek('a', cost, then)).allowed).toBe(true)
        }),
        { numRuns: runs },
      )
    })

    it('never turns a grant into a denial by waiting', async () => {
      await fc.assert(
        fc.asyncProperty(
          traces(['a']),
          fc.array(fc.nat(3_000_000), { maxLength: 20 }),
          async ({ params, trace }, waits) => {
            const subject = await about.make(params, 64)
            let { now } = (await play(subject, trace)).at(-1)!
            let before = await subject.peek('a', 1, now)
            for (const wait of waits) {
              now += wait
              const after = await subject.peek('a', 1, now)
              expect(after.remaining).toBeGreaterThanOrEqual(before.remaining)
              if (before.allowed) expect(after.allowed).toBe(true)
              before = after
            }
          },
        ),
        { numRuns: runs },
      )
    })

    it('is as good as new after the reset that it named', async () => {
      await fc.assert(
        fc.asyncProperty(traces(['a']), traces(['a']), async ({ params, trace }, later) => {
          const subject = await about.make(params, 64)
          const { now } = (await play(subject, trace)).at(-1)!
          const { resetAfterMs } = await subject.peek('a', 1, now)
          const then = Math.ceil(now + resetAfterMs * 1000)
          const fresh = await about.make(params, 64)
          // Both count from the same first moment, so that windows on the clock lie alike.
          await fresh.peek('a', 1, 0)
          let at = then
          for (const { dt, cost } of later.trace) {
            at += Math.max(0, dt)
            const [one, other] = [await subject.take('a', cost, at), await fresh.take('a', cost, at)]
            expect(outline(one)).toEqual(outline(other))
          }
        }),
        { numRuns: runs },
      )
    })

    it('keeps its bound for each of more keys than it has room for', async () => {
      const paces = fc.constantFrom(1_000, 200_000, 2_000_000)
      await fc.assert(
        fc.asyncProperty(traces(crowd), paces, async ({ params, trace }, below) => {
          const takes = trace.map(call => ({ ...call, dt: call.dt % below, peek: false }))
          const asked = await play(await about.make(params, 1), takes)
          for (const key of crowd) {
            const own = asked.filter(call => call.key === key)
            expect(excess(params, own)).toBeLessThanOrEqual(1e-9)
          }
        }),
        { numRuns: runs },
      )
    })

    it('does not show when idle keys lose their state to others', async () => {
      await fc.assert(
        fc.asyncProperty(traces(crowd), async ({ params, trace }) => {
          const small = await about.make(params, 1)
          const roomy = await about.make(params, 500)
          const one = await play(small, trace)
          const other = await play(roomy, trace)
          if ((small.overflowed?.() ?? 0) > 0) return
          for (const [i, { decision }] of one.entries()) {
            expect(outline(decision)).toEqual(outline(other[i]!.decision))
          }
        }),
        { numRuns: runs },
      )
    })

    if (restores)
      it('is what it was when a grant is given back at once', async () => {
        await fc.assert(
          fc.asyncProperty(
            traces(['a']),
            traces(['a']),
            fc.nat(20),
            async ({ params, trace }, later, extra) => {
              const [touched, untouched] = [await about.make(params, 64), await about.make(params, 64)]
              const { now } = (await play(touched, trace)).at(-1)!
              await play(untouched, trace)
              const { allowed } = await touched.take('a', extra, now)
              if (allowed) await touched.refund('a', extra, now)
              let at = now
              for (const { dt, cost } of later.trace) {
                at += Math.max(0, dt)
                const [one, other] = [await touched.take('a', cost, at), await untouched.take('a', cost, at)]
                expect(outline(one)).toEqual(outline(other))
              }
            },
          ),
          { numRuns: runs },
        )
      })

    it('throws for a cost that is none, and changes nothing', async () => {
      const [params] = fc.sample(about.params, { numRuns: 1, seed: 1 }) as [P]
      const subject = await about.make(params, 64)
      const before = outline(await subject.peek('a', 1, 0))
      for (const cost of [Number.NaN, -1, 0.5, Infinity, -Infinity, 2 ** 60, '1', null] as number[]) {
        await expect(async () => subject.take('a', cost, 0)).rejects.toThrow(/cost/)
      }
      expect(outline(await subject.peek('a', 1, 0))).toEqual(before)
    })
  })
}
