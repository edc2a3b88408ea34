import fc from 'fast-check'
import { expect, test } from 'vitest'
import { circuit } from '../breaker/circuit.ts'
import { breaker } from '../breaker/middleware.ts'
import { adviceOf, advise } from '../core/advice.ts'
import { chain } from '../core/chain.ts'
import { type Context, openContext } from '../core/context.ts'
import type { Handler, Middleware } from '../core/handler.ts'
import { after, sleep } from '../internal/timer.ts'
import { type ManualClock, manualClock } from '../testing/index.ts'
import { retryBudget } from './budget.ts'
import { hedge } from './hedge.ts'

type Kind = 'ok' | 'transient' | 'fatal' | 'final' | 'hint'

interface Turn {
  readonly kind: Kind
  readonly ms: number
  readonly hintMs: number
}

interface Spec {
  readonly turns: readonly Turn[]
  readonly attempts: number
  readonly delayMs: number
  readonly tokens: number
  readonly timeoutMs: number
  readonly minUsefulMs: number
}

const turn: fc.Arbitrary<Turn> = fc.record({
  kind: fc.constantFrom<Kind[]>('ok', 'ok', 'transient', 'transient', 'transient', 'fatal', 'final', 'hint'),
  ms: fc.integer({ min: 1, max: 200 }),
  hintMs: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constantFrom(-1, Number.NaN)),
})

const spec: fc.Arbitrary<Spec> = fc
  .record({
    turns: fc.array(turn, { minLength: 5, maxLength: 5 }),
    attempts: fc.integer({ min: 2, max: 4 }),
    delayMs: fc.integer({ min: 1, max: 150 }),
    tokens: fc.oneof(fc.constant(10), fc.nat({ max: 2 })),
    timeoutMs: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 400 })),
    minUsefulMs: fc.constantFrom(0, 30),
  })
  // No two things at one moment: which of them comes first is nobody's promise.
  .map(spec => ({
    ...spec,
    turns: spec.turns.map((turn, i) => ({
      ...turn,
      ms: turn.ms + (i + 1) / 64,
      hintMs: turn.hintMs + (i + 1) / 1_024,
    })),
    delayMs: spec.delayMs + 1 / 4_096,
    timeoutMs: spec.timeoutMs + 1 / 2,
  }))

interface Seen {
  readonly starts: readonly number[]
  readonly endedAt: number
  /** Which attempt the answer or the error is of; -1 for the end of the call. */
  readonly of: number
  readonly success: boolean
}

/** What ought to happen, event by event. */
function expected({ turns, attempts, delayMs, tokens, timeoutMs, minUsefulMs }: Spec): Seen {
  const starts: number[] = []
  let out: { i: number; at: number }[] = []
  let timer = Infinity
  let closed = false
  let now = 0

  const start = (): void => {
    out.push({ i: starts.length, at: now + turns[starts.length]!.ms })
    starts.push(now)
    timer = starts.length < attempts && now + delayMs + minUsefulMs <= timeoutMs ? now + delayMs : Infinity
  }
  const startAnother = (): void => {
    timer = Infinity
    if (closed) return
    closed = starts.length >= attempts || now + minUsefulMs > timeoutMs || tokens < 1
    if (closed) return
    tokens--
    start()
  }

  start()
  for (;;) {
    const first = out.reduce((a, b) => (a.at < b.at ? a : b), { i: -1, at: Infinity })
    now = Math.min(first.at, timer, timeoutMs)
    if (now === timeoutMs) return { starts, endedAt: now, of: -1, success: false }
    if (now === timer) startAnother()
    else {
      const turn = turns[first.i]!
      out = out.filter(attempt => attempt !== first)
      if (turn.kind === 'ok') return { starts, endedAt: now, of: first.i, success: true }
      if (turn.kind === 'fatal') return { starts, endedAt: now, of: first.i, success: false }
      if (turn.kind === 'transient') startAnother()
      else if (turn.kind === 'hint' && turn.hintMs >= 0) {
        timer = Infinity
        const fits = starts.length < attempts && now + turn.hintMs + minUsefulMs <= timeoutMs
        if (!closed && fits) timer = now + turn.hintMs
        else closed = true
      } else {
        timer = Infinity
        closed = true
      }
    }
    if (out.length === 0 && timer === Infinity) return { starts, endedAt: now, of: 0, success: false }
  }
}

async function play(
  spec: Spec,
  inside: Middleware = next => next,
  clock: ManualClock = manualClock({ startMs: 0 }),
) {
  const open = openContext({ clock, idempotent: true, timeoutMs: spec.timeoutMs })
  const budget = retryBudget({ ratio: 0, minPerSecond: 0 })
  let { tokens } = spec
  budget.withdraw = () => tokens-- > 0
  const starts: number[] = []
  const errors: unknown[] = []
  const contexts: Context[] = []
  const handler: Handler<unknown, number> = async (_request, context) => {
    const i = starts.push(clock.now()) - 1
    contexts.push(context)
    const { kind, ms, hintMs } = spec.turns[i]!
    await sleep(context, ms)
    if (kind === 'ok') return i
    const error = Object.assign(new Error(kind), { status: kind === 'fatal' ? 404 : 503 })
    if (kind === 'hint') advise(error, { retry: 'later', retryAfterMs: hintMs })
    if (kind === 'final') advise(error, { retry: 'never' })
    errors[i] = error
    throw error
  }
  const { attempts, delayMs, minUsefulMs } = spec
  const call = chain(hedge({ attempts, delayMs, minUsefulMs, budget }), inside)(handler)(
    'request',
    open.context,
  )
  let seen: Seen | undefined
  call.then(
    of => {
      seen = { starts: [...starts], endedAt: clock.now(), of, success: true }
    },
    error => {
      seen = { starts: [...starts], endedAt: clock.now(), of: errors.indexOf(error), success: false }
    },
  )
  await clock.flush()
  for (let i = 0; i < 20 && seen === undefined; i++) await clock.advance(200)
  const armed = clock.armed
  const answered = seen!
  await clock.advance(5_000)
  return { seen: answered, starts, contexts, armed }
}

test('makes the attempts at the times, and ends as and when, a naive race does', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async spec => {
      const { seen, starts, armed } = await play(spec)
      expect(seen).toEqual(expected(spec))
      expect(seen.starts.length).toBeLessThanOrEqual(Math.min(spec.attempts, 1 + spec.tokens))
      // After the answer nothing is started, and nothing waits.
      expect(starts).toEqual(seen.starts)
      expect(armed).toBe(0)
    }),
    { numRuns: 500 },
  )
})

test('once there is an answer, every attempt that is still out has been cancelled', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async spec => {
      const { seen, contexts } = await play(spec)
      for (const [i, context] of contexts.entries()) {
        const cameBack = seen.starts[i]! + spec.turns[i]!.ms <= seen.endedAt
        // What is part of a call that has timed out has ended with it, come back or not.
        if (seen.of >= 0 || !cameBack) expect(context.scope.ending !== undefined).toBe(!cameBack)
      }
    }),
    { numRuns: 200 },
  )
})

test('of answers that come at one moment that of the attempt that began first counts, and of all the earliest', async () => {
  const whole = fc.record({
    durations: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 4, maxLength: 4 }),
    attempts: fc.integer({ min: 2, max: 4 }),
    delayMs: fc.integer({ min: 1, max: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(whole, async ({ durations, attempts, delayMs }) => {
      const turns = durations.map(ms => ({ kind: 'ok' as const, ms, hintMs: 0 }))
      const play1 = { turns, attempts, delayMs, tokens: 10, timeoutMs: Infinity, minUsefulMs: 0 }
      const { seen } = await play(play1)
      const ends = seen.starts.map((at, i) => at + durations[i]!)
      const earliest = Math.min(...ends)
      expect(seen).toMatchObject({ success: true, endedAt: earliest, of: ends.indexOf(earliest) })
      // None was kept waiting for, and none begun while there was an answer.
      for (const [i, at] of seen.starts.entries()) expect(at).toBe(i * delayMs)
      expect(Math.max(...seen.starts)).toBeLessThanOrEqual(earliest)
    }),
    { numRuns: 300 },
  )
})

test('a circuit further in counts the attempts that came back, and those that lost not at all', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async spec => {
      const clock = manualClock({ startMs: 0 })
      const dependency = circuit({ clock, windowMs: 1e6 })
      dependency.disable()
      const { seen } = await play(spec, breaker(dependency), clock)
      const back = seen.starts.map((at, i) => ({ ...spec.turns[i]!, at: at + spec.turns[i]!.ms }))
      const counted = back.filter(({ at }) => at <= seen.endedAt)
      const failures = counted.filter(({ kind }) => kind !== 'ok' && kind !== 'fatal').length
      // When the call itself runs out of time, so have the attempts that were out, and that says something.
      const cut = seen.of < 0 ? back.length - counted.length : 0
      const { total, failures: seenFailures } = dependency.snapshot()
      expect({ total, seenFailures }).toEqual({
        total: counted.length + cut,
        seenFailures: failures + cut,
      })
    }),
    { numRuns: 200 },
  )
})

test("with an endless delay it is the handler itself: one attempt, in the caller's context, at no cost to the budget", async () => {
  const call = fc.record({ turn, afterMs: fc.nat({ max: 100 }), idempotent: fc.boolean() })
  const about = fc.record({
    attempts: fc.integer({ min: 1, max: 4 }),
    idempotent: fc.constantFrom(true, false, undefined),
    timeoutMs: fc.constantFrom(Infinity, 50.5, 150.5),
    abortAfterMs: fc.constantFrom(undefined, undefined, 0, 75.25),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 10 }), about, async (calls, about) => {
      const { attempts, idempotent, timeoutMs, abortAfterMs } = about
      const seen: unknown[] = []
      for (const hedged of [false, true]) {
        const clock = manualClock({ startMs: 0 })
        const budget = retryBudget({ ratio: 1 })
        const before = budget.snapshot()
        const log: unknown[] = []
        const handler: Handler<number, number> = async (i, context) => {
          log.push(['starts', i, clock.now(), context === contexts[i], context.attempt])
          const { kind, ms, hintMs } = calls[i]!.turn
          await sleep(context, ms)
          if (kind === 'ok') return i
          const error = Object.assign(new Error(kind), { status: kind === 'fatal' ? 404 : 503 })
          if (kind === 'final') advise(error, { retry: 'never' })
          if (kind === 'hint') advise(error, { retry: 'later', retryAfterMs: hintMs })
          errors[i] = error
          throw error
        }
        const contexts: Context[] = []
        const errors: Error[] = []
        const made = hedge<number>({
          delayMs: Infinity,
          budget,
          attempts,
          ...(idempotent === undefined ? {} : { idempotent }),
        })
        const protect = hedged ? made(handler) : handler
        for (const [i, next] of calls.entries()) {
          await clock.advance(next.afterMs)
          const open = openContext({ clock, timeoutMs, idempotent: next.idempotent })
          contexts.push(open.context)
          protect(i, open.context).then(
            value => log.push(['answers', i, value, clock.now()]),
            error =>
              log.push(['fails', i, error === errors[i] || error.reason, adviceOf(error), clock.now()]),
          )
          if (abortAfterMs !== undefined) after(clock, abortAfterMs, () => open.cancel('gone'))
        }
        await clock.advance(1_000)
        expect(clock.armed).toBe(0)
        expect(budget.snapshot()).toEqual(before)
        seen.push(log)
      }
      expect(seen[1]).toEqual(seen[0])
    }),
    { numRuns: 150 },
  )
})

// By chance, and so with seeds: a bound that chance keeps to nearly always would fail now and then.
test.each([
  { seed: 1, shape: 1 },
  { seed: 2, shape: 2 },
  { seed: 3, shape: 2 },
])(
  'with the delay at the 95th percentile about one call in twenty is made twice ($shape)',
  async ({ seed, shape }) => {
    let state = seed
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
      return ((state >>> 8) & 0xffffff) / 2 ** 24
    }
    const clock = manualClock({ startMs: 0 })
    const open = openContext({ clock, idempotent: true })
    const latency = (): number => 10 * (-Math.log(1 - random())) ** shape
    let sent = 0
    const call = hedge({ budget: false, periodMs: 1_000 })(async (_request, context) => {
      sent++
      await sleep(context, latency())
    })
    const calls: Promise<unknown>[] = []
    // The first periods still see more of the fast calls than of the slow ones, which are not back yet.
    const [total, before] = [4_500, 2_000]
    let sentBefore = 0
    for (let i = 0; i < total; i++) {
      if (i === before) sentBefore = sent
      calls.push(call(undefined, open.context))
      await clock.advance(2)
    }
    await clock.advance(5_000)
    await Promise.all(calls)
    const extra = (sent - sentBefore) / (total - before) - 1
    expect(extra).toBeGreaterThan(0.02)
    expect(extra).toBeLessThan(0.06)
  },
)
