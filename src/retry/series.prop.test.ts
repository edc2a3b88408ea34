import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { advise, isFinal } from '../core/advice.ts'
import { gate } from '../core/chain.ts'
import { openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { Rejection } from '../core/rejection.ts'
import { sleep } from '../internal/timer.ts'
import { type ManualClock, manualClock } from '../testing/index.ts'
import { backoff } from './backoff.ts'
import { retryBudget } from './budget.ts'
import { attemptsOf } from './give-up.ts'
import { retry } from './retry.ts'

type Kind = 'ok' | 'transient' | 'never-sent' | 'fatal' | 'final' | 'hint' | 'elsewhere'

interface Turn {
  readonly kind: Kind
  /** How long the attempt takes. */
  readonly ms: number
  readonly hintMs: number
}

interface Spec {
  readonly turns: readonly Turn[]
  readonly attempts: number
  readonly idempotent: boolean
  readonly tokens: number
  readonly timeoutMs: number | undefined
  readonly abortAt: number | undefined
  readonly minUsefulMs: number
  readonly chance: number
}

const turn: fc.Arbitrary<Turn> = fc.record({
  kind: fc.constantFrom<Kind[]>(
    'ok',
    'transient',
    'transient',
    'transient',
    'transient',
    'never-sent',
    'never-sent',
    'fatal',
    'final',
    'hint',
    'hint',
    'elsewhere',
  ),
  ms: fc.nat({ max: 60 }),
  hintMs: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(-1, Number.NaN, 60_001)),
})

const spec: fc.Arbitrary<Spec> = fc.record({
  turns: fc.array(turn, { minLength: 8, maxLength: 8 }),
  attempts: fc.integer({ min: 1, max: 6 }),
  idempotent: fc.oneof(
    { weight: 4, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  tokens: fc.oneof(fc.constant(100), fc.nat({ max: 4 })),
  timeoutMs: fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: 1, max: 1_500 }).map(ms => ms + 0.5),
  ),
  abortAt: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat({ max: 800 }).map(ms => ms + 0.25) },
  ),
  minUsefulMs: fc.constantFrom(0, 1, 50),
  chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
})

function errorOf({ kind, hintMs }: Turn): Error {
  const status = { transient: 503, fatal: 404, hint: 503, final: 503 }[kind as string]
  const error = Object.assign(new Error(kind), kind === 'never-sent' ? { code: 'ECONNREFUSED' } : { status })
  if (kind === 'hint') advise(error, { retry: 'later', retryAfterMs: hintMs })
  if (kind === 'final') advise(error, { retry: 'never' })
  if (kind === 'elsewhere')
    return new Rejection({ reason: 'no-endpoint', policy: 'x', retry: 'elsewhere' }) as never
  return error
}

interface Seen {
  /** When each attempt began. */
  readonly starts: readonly number[]
  readonly endedAt: number
  /** Which attempt the answer or the error is of; -1 when the call was ended from outside. */
  readonly of: number
  readonly success: boolean
  readonly final: boolean
}

/** What ought to happen, by going through the call from its start. */
function expected(spec: Spec): Seen {
  const endsAt = spec.timeoutMs ?? Infinity
  const cutAt = Math.min(endsAt, spec.abortAt ?? Infinity)
  const starts: number[] = []
  let now = 0
  let step = 0
  let tokens = spec.tokens
  for (let i = 0; ; i++) {
    if (now >= cutAt) return { starts, endedAt: cutAt, of: -1, success: false, final: now >= endsAt }
    starts.push(now)
    const turn = spec.turns[i]!
    now += turn.ms
    // What ends the call rings before what was armed later, and the attempt comes out with it.
    if (now >= cutAt) return { starts, endedAt: cutAt, of: -1, success: false, final: false }
    if (turn.kind === 'ok') return { starts, endedAt: now, of: i, success: true, final: false }
    const over = (final: boolean): Seen => ({ starts, endedAt: now, of: i, success: false, final })
    if (turn.kind === 'final') return over(true)
    if (turn.kind === 'fatal') return over(false)
    const began = turn.kind === 'transient' || turn.kind === 'hint'
    if (began && !spec.idempotent) return over(false)
    if (i + 1 === spec.attempts) return over(true)
    let delay: number
    if (turn.kind === 'hint') {
      step = 0
      delay = turn.hintMs
      if (!(delay >= 0 && delay <= 60_000)) return over(true)
    } else delay = spec.chance * Math.min(10_000, 50 * 2 ** step++)
    if (now + delay + spec.minUsefulMs > endsAt) return over(true)
    if (tokens < 1) return over(true)
    tokens--
    now += delay
  }
}

async function play(
  spec: Spec,
): Promise<{ seen: Seen; leaks: string[]; clock: ManualClock; attempts: number | undefined }> {
  const clock = manualClock({ startMs: 0 })
  const controller = new AbortController()
  const { timeoutMs } = spec
  const open = openContext({ clock, timeoutMs, signal: controller.signal, idempotent: spec.idempotent })
  const budget = retryBudget({ ratio: 0, minPerSecond: 0 })
  let tokens = spec.tokens
  const withdraw = budget.withdraw.bind(budget)
  budget.withdraw = now => (tokens-- > 0 ? true : withdraw(now))

  const starts: number[] = []
  const errors: unknown[] = []
  const handler: Handler<unknown, number> = async (_request, context) => {
    const i = starts.push(clock.now()) - 1
    expect(context.attempt).toBe(i + 1)
    const turn = spec.turns[i]!
    if (turn.ms > 0) await sleep(context, turn.ms)
    if (turn.kind === 'ok') return i
    errors[i] = errorOf(turn)
    throw errors[i]
  }
  const call = retry({
    attempts: spec.attempts,
    budget,
    minUsefulMs: spec.minUsefulMs,
    random: () => spec.chance,
  })(handler)('request', open.context)

  let seen: Seen | undefined
  let attempts: number | undefined
  const end = (of: number, success: boolean, final: boolean): void => {
    seen = { starts, endedAt: clock.now(), of, success, final }
  }
  call.then(
    i => end(i, true, false),
    error => {
      attempts = attemptsOf(error)
      const last = starts.length - 1
      const rejection = errors[last] instanceof Rejection && error instanceof Rejection
      const of = error === errors[last] || (rejection && error.reason === 'no-endpoint') ? last : -1
      end(of, false, of >= 0 && isFinal(error))
    },
  )
  await clock.flush()
  if (spec.abortAt !== undefined) {
    const ring = (): void => controller.abort(new Error('user left'))
    clock.arm({ at: 0, keepAlive: false, next: undefined, previous: undefined, ring }, spec.abortAt)
  }
  for (let i = 0; i < 200 && seen === undefined; i++) await clock.advance(2_000)
  open.close()
  const leaks: string[] = []
  if (seen === undefined) leaks.push('no answer')
  if (spec.abortAt === undefined && clock.armed > 0) leaks.push(`${clock.armed} timers`)
  if (getEventListeners(controller.signal, 'abort').length > 0) leaks.push('a listener')
  return { seen: seen!, leaks, clock, attempts }
}

test('makes the attempts at the times, and ends as and when, the questions say', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async spec => {
      const { seen, leaks, attempts } = await play(spec)
      expect(leaks).toEqual([])
      const model = expected(spec)
      expect(seen.starts.length).toBe(model.starts.length)
      for (const [i, at] of model.starts.entries()) expect(seen.starts[i]).toBeCloseTo(at, 6)
      expect(seen.endedAt).toBeCloseTo(model.endedAt, 6)
      expect({ of: seen.of, success: seen.success }).toEqual({ of: model.of, success: model.success })
      if (model.of >= 0) expect(seen.final).toBe(model.final)
      if (!seen.success && seen.of >= 0)
        expect(attempts).toBe(seen.starts.length > 1 ? seen.starts.length : undefined)
      // What the properties say, apart from the model.
      expect(seen.starts.length).toBeLessThanOrEqual(spec.attempts)
      if (spec.timeoutMs !== undefined) expect(seen.endedAt).toBeLessThanOrEqual(spec.timeoutMs)
      if (spec.abortAt !== undefined) expect(seen.endedAt).toBeLessThanOrEqual(Math.max(spec.abortAt, 0))
    }),
    { numRuns: 400 },
  )
})

test('a call that may not be made twice reaches the server once, whatever it fails with', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async spec => {
      const { seen } = await play({ ...spec, idempotent: false })
      const reached = seen.starts.filter((_, i) => !['never-sent', 'elsewhere'].includes(spec.turns[i]!.kind))
      expect(reached.length).toBeLessThanOrEqual(1)
    }),
    { numRuns: 100 },
  )
})

test('however many layers retry, and wherever they stand, the bottom is called as often as the innermost allows', async () => {
  const stack = fc.array(fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constant('gate' as const)), {
    minLength: 1,
    maxLength: 6,
  })
  await fc.assert(
    fc.asyncProperty(stack, fc.boolean(), async (stack, refusals) => {
      const clock = manualClock()
      const open = openContext({ clock, idempotent: true })
      let leaf = 0
      const errors: unknown[] = []
      const bottom = (): Promise<never> => {
        leaf++
        const error = refusals
          ? new Rejection({ reason: 'no-endpoint', policy: 'bottom', retry: 'elsewhere' })
          : Object.assign(new Error('down'), { status: 503 })
        errors.push(error)
        return Promise.reject(error)
      }
      const layers = stack.map(attempts =>
        attempts === 'gate'
          ? gate({ kind: 'other', name: 'gate', admit: () => undefined })
          : retry({ attempts, budget: false, backoff: backoff.constant(1) }),
      )
      const call = layers.reduceRight<Handler<unknown, never>>((next, layer) => layer(next), bottom)
      const failed = call(undefined, open.context).catch((error: unknown) => error)
      for (let i = 0; i < 60; i++) await clock.advance(1)
      const error = await failed
      const innermost = stack.findLast(layer => layer !== 'gate')
      expect(leaf).toBe(innermost ?? 1)
      if (innermost !== undefined) expect(isFinal(error)).toBe(true)
      // Identity: what is not the kit's own comes out as it went in.
      if (!refusals) expect(error).toBe(errors.at(-1))
      // Nothing takes the mark off again.
      advise(error, { retry: 'elsewhere' })
      advise(error, { retry: 'later', retryAfterMs: 1 })
      if (innermost !== undefined) expect(isFinal(error)).toBe(true)
    }),
    { numRuns: 100 },
  )
})

test('in the long run n layers with a budget of a tenth each call the bottom at most 1.1 ^ n times', async () => {
  // Without marks and with failures at random, so that it is the budgets alone that bound it.
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 1_000 }),
      async (depth, seed) => {
        const clock = manualClock()
        const open = openContext({ clock, idempotent: true })
        let state = seed
        const random = (): number => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
          return (state >>> 0) / 2 ** 32
        }
        let leaf = 0
        const bottom = (): Promise<string> => {
          leaf++
          return random() < 0.7 ? Promise.reject(new Error('down')) : Promise.resolve('ok')
        }
        const unmarked =
          (next: Handler<unknown, any>): Handler<unknown, any> =>
          (request, context) =>
            next(request, context).catch((error: Error) => Promise.reject(new Error(error.message)))
        let call: Handler<unknown, any> = bottom
        for (let i = 0; i < depth; i++) {
          const budget = retryBudget({ ratio: 0.1, minPerSecond: 0 })
          call = unmarked(retry({ budget, backoff: backoff.constant(0) })(call))
        }
        const calls = 1_000
        for (let i = 0; i < calls; i++) {
          clock.jump(1)
          await call(undefined, open.context).catch(() => {})
        }
        expect(leaf / calls).toBeLessThanOrEqual(1.1 ** depth + 0.01)
        expect(leaf / calls).toBeGreaterThan(1.05)
      },
    ),
    { numRuns: 10 },
  )
})
