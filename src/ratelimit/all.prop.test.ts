import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { all } from './all.ts'
import { concurrency } from './concurrency.ts'
import { fixedWindow } from './fixed-window.ts'
import { gcra } from './gcra.ts'
import { keyedBy } from './keyed-by.ts'
import type { Decision, Limiter } from './limiter.ts'
import { shadow } from './shadow.ts'
import { slidingLog } from './sliding-log.ts'
import { slidingWindow } from './sliding-window.ts'
import { tokenBucket } from './token-bucket.ts'
import { warmUp } from './warm-up.ts'

const windowMs = 1000
const kinds: Record<string, (limit: number, name: string) => Limiter> = {
  tokenBucket: (burst, name) => tokenBucket({ ratePerSecond: 5, burst, name }),
  gcra: (burst, name) => gcra({ limit: 3, periodMs: 700, burst, name }),
  fixedWindow: (limit, name) => fixedWindow({ limit, windowMs, name }),
  onTheClock: (limit, name) => fixedWindow({ limit, windowMs, anchor: 'clock', name }),
  slidingWindow: (limit, name) => slidingWindow({ limit, windowMs, buckets: 4, name }),
  weighted: (limit, name) => slidingWindow({ limit, windowMs, buckets: 2, oldest: 'weighted', name }),
  slidingLog: (limit, name) => slidingLog({ limit, windowMs, name }),
  warmUp: (burst, name) => warmUp({ ratePerSecond: 5, burst, warmUpMs: 500, name }),
  concurrency: (limit, name) => concurrency({ limit, name }),
  shadow: (limit, name) => shadow(fixedWindow({ limit, windowMs, name })),
}
/** Whose limit it is: the caller's, his tenant's, everybody's. */
const scopes: Record<string, (key: string) => string> = {
  caller: key => key,
  tenant: key => key.slice(0, 1),
  everybody: () => '',
}

interface Floor {
  readonly kind: string
  readonly limit: number
  readonly scope: string
}

const stacks = fc.array(
  fc.record({
    kind: fc.constantFrom(...Object.keys(kinds)),
    limit: fc.nat(9),
    scope: fc.constantFrom(...Object.keys(scopes)),
  }),
  { minLength: 1, maxLength: 4 },
)

/** The limits of a stack, each by itself. */
function build(stack: readonly Floor[]): Limiter[] {
  return stack.map(({ kind, limit, scope }, i) =>
    keyedBy(kinds[kind]!(limit, `${i} ${kind}`), scopes[scope]!),
  )
}

const callers = ['a1', 'a2', 'b1']
const traces = fc.array(
  fc.record({
    what: fc.constantFrom('take', 'take', 'take', 'peek', 'refund', 'charge', 'release', 'block'),
    dt: fc.constantFrom(0, 0, 1, 50, 199, 200, 250, 1000, 5000),
    key: fc.constantFrom(...callers),
    cost: fc.integer({ min: 0, max: 5 }),
  }),
  { maxLength: 50, size: 'max' },
)

/** All that can be seen of each limit: what it says of every caller. */
function seen(limiters: readonly Limiter[], now: number): Decision[] {
  return limiters.flatMap(limiter => callers.map(key => limiter.peek(key, 1, now)))
}

describe('all, of whatever limits', () => {
  it('grants what each of its limits would, charges all or none of them, and passes the rest on', () => {
    fc.assert(
      fc.property(stacks, traces, (stack, trace) => {
        const apart = build(stack)
        const inside = build(stack)
        const together = all(...inside)
        const granted: { key: string; cost: number; at: number }[] = []
        let now = 0
        for (const { what, dt, key, cost } of trace) {
          now += dt
          if (what === 'take' || what === 'peek') {
            const asked = apart.map(limiter => limiter.peek(key, cost, now))
            const before = seen(inside, now)
            const decision = together[what](key, cost, now)
            const allowed = asked.every(part => part.allowed)
            expect(decision.allowed).toBe(allowed)
            expect(decision.retryAfterMs).toBe(Math.max(...asked.map(part => part.retryAfterMs)))
            expect(decision.parts).toHaveLength(stack.length)
            if (allowed && what === 'take') {
              const parts = apart.map(limiter => limiter.take(key, cost, now))
              expect(decision.parts).toEqual(parts)
              expect(decision.remaining).toBe(Math.min(...parts.map(part => part.remaining)))
              expect(decision.resetAfterMs).toBe(Math.max(...parts.map(part => part.resetAfterMs)))
              expect(decision.shadowed).toBe(parts.some(part => part.shadowed))
              if (cost > 0) granted.push({ key, cost, at: now })
            } else {
              // All or nothing: not one of the limits has moved, for anybody.
              expect(seen(inside, now)).toEqual(before)
              const culprit = decision.parts!.find(part => part.policy === decision.policy)!
              expect(culprit.allowed).toBe(decision.allowed)
              expect(culprit.retryAfterMs).toBe(decision.retryAfterMs)
            }
          } else if (what === 'charge') {
            for (const limiter of [together, ...apart]) limiter.charge(key, cost, now)
          } else if (what === 'block') {
            together.block(key, cost * 100, now)
            apart[0]!.block(key, cost * 100, now)
          } else {
            const given = granted.shift()
            if (given === undefined) continue
            if (what === 'refund') {
              for (const limiter of [together, ...apart]) limiter.refund(given.key, given.cost, now, given.at)
            } else {
              for (const limiter of [together, ...apart]) limiter.release?.(given.key, given.cost, now)
            }
          }
          expect(seen(inside, now)).toEqual(seen(apart, now))
        }
        const holding = inside.some(limiter => limiter.release !== undefined)
        expect(together.release !== undefined).toBe(holding)
      }),
      { numRuns: 150 },
    )
  })

  it('is what it was when a grant is given back at once to limits that give all of it back', () => {
    // What a cold warm-up charged depends on when; it gives back less, see its own tests.
    const exact = stacks.filter(stack => stack.every(({ kind }) => kind !== 'warmUp' && kind !== 'shadow'))
    fc.assert(
      fc.property(exact, traces, fc.nat(5), fc.constantFrom(...callers), (stack, trace, cost, key) => {
        const inside = build(stack)
        const together = all(...inside)
        let now = 0
        for (const step of trace) {
          now += step.dt
          together.take(step.key, step.cost, now)
        }
        const before = seen(inside, now).map(({ allowed, remaining, retryAfterMs }) => ({
          allowed,
          remaining,
          retryAfterMs,
        }))
        if (!together.take(key, cost, now).allowed) return
        together.refund(key, cost, now)
        expect(seen(inside, now)).toMatchObject(before)
      }),
    )
  })

  it('grants after exactly the wait that it named, and not before, where nothing is held', () => {
    const timed = stacks.filter(stack => stack.every(({ kind }) => kind !== 'concurrency'))
    fc.assert(
      fc.property(timed, traces, fc.integer({ min: 1, max: 5 }), (stack, trace, cost) => {
        const together = all(...build(stack))
        let now = 0
        for (const step of trace) {
          now += step.dt
          together.take(step.key, step.cost, now)
        }
        const { allowed, retryAfterMs } = together.peek('a1', cost, now)
        if (allowed || retryAfterMs === Infinity) return
        expect(together.peek('a1', cost, now + retryAfterMs * 0.999 - 0.002).allowed).toBe(false)
        expect(together.peek('a1', cost, now + retryAfterMs).allowed).toBe(true)
      }),
      { numRuns: 150 },
    )
  })

  it('decides the same if the calls that it denies had never come', () => {
    fc.assert(
      fc.property(stacks, traces, (stack, trace) => {
        const [one, other] = [all(...build(stack)), all(...build(stack))]
        let now = 0
        // The first reading of the clock is where windows and warm-ups count from.
        for (const limiter of [one, other]) limiter.peek('a1', 1, 0)
        for (const { dt, key, cost } of trace) {
          now += dt
          const decision = one.take(key, cost, now)
          if (decision.allowed) expect(other.take(key, cost, now)).toEqual(decision)
        }
      }),
    )
  })
})
