import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { defer } from '../internal/deferred.ts'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { chain, gate, layer } from './chain.ts'
import { type Context, createContext, openContext } from './context.ts'
import type { FailedCall, Gate } from './gate.ts'
import type { Handler, Protection } from './handler.ts'
import { Rejection } from './rejection.ts'
import { answeredEarly } from './work.ts'

type Admit = 'in' | 'read-signal' | 'refuse' | 'throw' | 'throw-refusal' | 'cancel' | 'cancel-and-refuse'
type Narrow = 'none' | 'same' | 'value' | 'throw' | 'cancel' | 'deadline' | 'abort'
/** What a gate that may rescue a call does when it is asked. */
type Rescue =
  | 'none'
  | 'decline'
  | 'replace'
  | 'throw'
  | 'answer'
  | 'fail'
  | 'again'
  | 'again-later'
  | 'cancel'
type Act =
  | 'resolve'
  | 'reject'
  | 'refuse'
  | 'value'
  | 'throw'
  | 'cancel'
  | 'cancel-and-throw'
  | 'early'
  | 'hang'
  | 'obey'

interface GateSpec {
  readonly rescue: Rescue
  readonly admit: Admit
  readonly narrow: Narrow
  readonly narrowMs: number
  readonly until: 'answer' | 'work' | undefined
  readonly settle: 'log' | 'throw' | 'none'
  /** Whether the row is broken after this gate, in the shapes that break it. */
  readonly cut: boolean
}

interface CallSpec {
  readonly gates: readonly GateSpec[]
  readonly act: Act
  readonly actMs: number
  readonly context: 'open' | 'created'
  readonly timeoutMs: number | undefined
  readonly abortAt: number | undefined
  readonly cancelAt: number | undefined
}

/** Mostly the ordinary, so that calls get far enough for the rest to matter. */
function seldom<const T>(often: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 3 * others.length, arbitrary: fc.constant(often) },
    { weight: others.length, arbitrary: fc.constantFrom(...others) },
  )
}

const ms = fc.integer({ min: 0, max: 40 })
const maybeMs = fc.option(ms, { nil: undefined, freq: 2 })
const gateSpec: fc.Arbitrary<GateSpec> = fc.record({
  admit: seldom<Admit>(
    'in',
    'read-signal',
    'refuse',
    'throw',
    'throw-refusal',
    'cancel',
    'cancel-and-refuse',
  ),
  narrow: fc.constantFrom<Narrow[]>(
    'none',
    'none',
    'same',
    'value',
    'deadline',
    'deadline',
    'abort',
    'throw',
    'cancel',
  ),
  narrowMs: ms,
  until: fc.constantFrom(undefined, 'answer', 'work'),
  settle: seldom<GateSpec['settle']>('log', 'throw', 'none'),
  rescue: seldom<Rescue>(
    'none',
    'decline',
    'replace',
    'throw',
    'answer',
    'fail',
    'again',
    'again-later',
    'cancel',
  ),
  cut: fc.boolean(),
})
const callSpec: fc.Arbitrary<CallSpec> = fc.record({
  gates: fc.array(gateSpec, { minLength: 1, maxLength: 6 }),
  act: fc.constantFrom<Act[]>(
    'resolve',
    'reject',
    'refuse',
    'value',
    'throw',
    'cancel',
    'cancel-and-throw',
    'early',
    'hang',
    'obey',
  ),
  actMs: fc.integer({ min: 0, max: 60 }),
  context: fc.constantFrom('open', 'created'),
  timeoutMs: maybeMs,
  abortAt: maybeMs,
  cancelAt: maybeMs,
})

/** One call as it was seen from outside. Errors are told apart by what they say and by whether they are the same. */
class Play {
  readonly log: string[] = []
  /** When the handler was told that its call had ended, and why. */
  readonly told: string[] = []
  readonly clock: ManualClock = manualClock({ startMs: 0 })
  readonly source = new AbortController()
  /** By gate: times let in minus times settled. */
  readonly open: number[]
  /** How many handlers have not come to their end. */
  working = 0
  answered = false
  private readonly errors = new Set<unknown>()
  private readonly cancelled = this.own(new Error('cancelled by its owner'))
  private readonly spec: CallSpec
  private cancel: () => void = () => {}

  constructor(spec: CallSpec) {
    this.spec = spec
    this.open = spec.gates.map(() => 0)
  }

  async run(shape: (gates: readonly Protection[]) => Protection): Promise<this> {
    const { clock, spec, source } = this
    const options = {
      clock,
      timeoutMs: spec.timeoutMs,
      signal: spec.abortAt === undefined ? undefined : source.signal,
    }
    const opened = spec.context === 'open' ? openContext(options) : undefined
    const context = opened?.context ?? createContext(options)
    if (opened !== undefined) this.cancel = () => opened.cancel(this.cancelled)
    const call = shape(spec.gates.map((_, i) => this.gate(i)))(this.handler())

    if (spec.abortAt !== undefined) {
      const reason = this.own(new Error('source aborted'))
      this.later(spec.abortAt, () => source.abort(reason))
    }
    if (spec.cancelAt !== undefined) this.later(spec.cancelAt, this.cancel)
    call('request', context).then(
      value => this.hear('answer', value),
      error => this.hear('failure', this.say(error)),
    )
    await clock.advance(200)
    opened?.close()
    return this
  }

  private gate(i: number): Protection {
    const { admit, narrow, narrowMs, until, settle, rescue } = this.spec.gates[i]!
    const name = `g${i}`
    const definition: Gate<unknown, string> = {
      kind: 'other',
      name,
      admit: (request, context, now) => {
        this.note(name, 'asked', request, now, context.deadline, context.attempt)
        if (admit.startsWith('cancel')) this.cancel()
        if (admit === 'read-signal') context.signal
        if (admit === 'throw') throw this.own(new Error(`${name} threw`))
        const refusal = new Rejection({ reason: 'shed', policy: name, retry: 'elsewhere' })
        if (admit === 'throw-refusal') throw this.own(refusal)
        if (admit.endsWith('refuse')) return this.own(refusal)
        this.open[i]!++
        return `ticket of ${name}`
      },
      narrow: context => {
        if (narrow === 'throw') throw this.own(new Error(`${name} threw from narrow`))
        if (narrow === 'cancel') this.cancel()
        if (narrow === 'value') return context.with({ attempt: context.attempt + 1 })
        if (narrow === 'deadline') return openContext({ parent: context, timeoutMs: narrowMs }).context
        if (narrow === 'abort') return this.abortable(context, name, narrowMs)
        return context
      },
      settle: (ticket, outcome, now, error) => {
        this.open[i]!--
        this.note(name, 'settled', ticket, outcome, now, this.say(error))
        if (settle === 'throw') throw new Error('a bug in settle')
      },
    }
    const { narrow: narrowing, settle: settling, ...rest } = definition
    const rescuing = (call: FailedCall): Promise<unknown> | undefined => {
      this.note(name, 'may rescue', call.request, this.say(call.error), call.context.attempt)
      if (rescue === 'cancel') this.cancel()
      if (rescue === 'throw') throw this.own(new Error(`${name} threw from rescue`))
      if (rescue === 'replace') call.error = this.own(new Error(`${name} put this in its place`))
      if (rescue === 'answer') return Promise.resolve('rescued')
      const error = this.own(new Error(`${name} failed to rescue`))
      const again = (): Promise<unknown> =>
        call.context.ended ? Promise.reject(error) : call.again(call.context.with({ attempt: 10 }))
      if (rescue === 'again') return again()
      if (rescue !== 'fail' && rescue !== 'again-later') return undefined
      const { promise, resolve, reject } = defer<unknown>()
      this.later(narrowMs, () => (rescue === 'fail' ? reject(error) : resolve(again())))
      return promise
    }
    return gate({
      ...rest,
      ...(narrow === 'none' ? {} : { narrow: narrowing! }),
      ...(settle === 'none' ? {} : { settle: settling! }),
      ...(rescue === 'none' ? {} : { rescue: rescuing }),
      ...(until === undefined ? {} : { until }),
    })
  }

  private abortable(context: Context, name: string, afterMs: number): Context {
    const source = new AbortController()
    const reason = this.own(new Error(`${name} aborted`))
    if (afterMs === 0) source.abort(reason)
    else this.later(afterMs, () => source.abort(reason))
    return openContext({ parent: context, signal: source.signal }).context
  }

  private handler(): Handler<unknown, unknown> {
    const { act, actMs } = this.spec
    const work = (context: Context): Promise<unknown> => {
      if (act.startsWith('cancel')) this.cancel()
      if (act === 'value') return 'a plain value' as never
      if (act.endsWith('throw')) throw this.own(new Error('thrown at once'))
      if (act === 'early') {
        const answer = Promise.reject(this.own(new Error('answered early')))
        answeredEarly(answer, new Promise<void>(resolve => this.later(actMs, resolve)))
        return answer
      }
      return new Promise((resolve, reject) => {
        if (act === 'resolve' || act === 'cancel') this.later(actMs, () => resolve('answer'))
        const refusal = new Rejection({ reason: 'no-endpoint', policy: 'handler', retry: 'later' })
        const error = this.own(act === 'refuse' ? refusal : new Error('handler failed'))
        if (act === 'reject' || act === 'refuse') this.later(actMs, () => reject(error))
        if (act !== 'obey') return
        context.signal.addEventListener('abort', () => {
          this.told.push(`${this.clock.now()} ${this.say(context.signal.reason)}`)
          this.later(actMs, () => reject(context.signal.reason))
        })
      })
    }
    return (request, context) => {
      this.note('handler', request, context.deadline, context.attempt)
      const end = (): void => {
        this.working--
        this.note('handler ends')
      }
      this.working++
      const answer = work(context)
      Promise.resolve(answer).then(end, end)
      return answer
    }
  }

  private later(afterMs: number, ring: () => void): void {
    const alarm = { at: 0, keepAlive: false, next: undefined, previous: undefined, ring }
    this.clock.arm(alarm, this.clock.now() + afterMs)
  }

  /** The caller hears it last: how many turns of the microtask queue an answer takes is not what is compared. */
  private async hear(how: string, what: unknown): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await undefined
    this.answered = true
    this.note(how, what)
  }

  private note(...words: unknown[]): void {
    this.log.push([this.clock.now(), ...words].join(' '))
  }

  private own<E>(error: E): E {
    this.errors.add(error)
    return error
  }

  private say(error: unknown): string {
    if (error === undefined) return ''
    const kits = error instanceof Rejection && error.reason === 'deadline-exceeded'
    return `${error}${this.errors.has(error) || kits ? '' : ' (a copy)'}`
  }
}

const through = layer(
  { kind: 'other', name: 'through' },
  next => (request, context) => next(request, context),
)

test('a chain behaves as its gates nested one in the other, however the call goes', async () => {
  await fc.assert(
    fc.asyncProperty(callSpec, async spec => {
      const cut = (i: number): boolean => spec.gates[i]!.cut
      const first = spec.gates.findIndex(gate => gate.cut) + 1
      const nested = await new Play(spec).run(
        gates => handler =>
          gates.reduceRight<Handler<any, any>>((inner, outer) => outer(inner), handler) as never,
      )
      const others = [
        await new Play(spec).run(gates => chain(...gates)),
        await new Play(spec).run(gates => chain(chain(...gates.slice(0, first)), ...gates.slice(first))),
        await new Play(spec).run(gates =>
          chain(...gates.flatMap((gate, i) => (cut(i) ? [gate, through] : [gate]))),
        ),
      ]
      for (const other of others) {
        expect(other.log).toEqual(nested.log)
        expect(other.told).toEqual(nested.told)
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a handler that still works when its call ends is told by its signal', async () => {
  await fc.assert(
    fc.asyncProperty(callSpec, async spec => {
      const play = await new Play({ ...spec, act: 'obey' }).run(gates => chain(...gates))
      const begun = play.log.filter(line => / handler request/.test(line)).length
      expect(play.told).toHaveLength(play.answered ? begun : Math.max(0, begun - 1))
    }),
    { numRuns: 1_000 },
  )
})

test('every gate that let a call in is settled once, and nothing stays armed or hooked up', async () => {
  await fc.assert(
    fc.asyncProperty(callSpec, async spec => {
      const play = await new Play(spec).run(gates => chain(...gates))
      for (const [i, { until, settle }] of spec.gates.entries()) {
        if (settle === 'none') continue
        const waiting = !play.answered || (until === 'work' && play.working > 0)
        if (!waiting) expect(play.open[i], `gate ${i}`).toBe(0)
        expect(play.open[i]).toBeGreaterThanOrEqual(0)
      }
      if (!play.answered) return
      expect(play.clock.armed).toBe(0)
      expect(getEventListeners(play.source.signal, 'abort')).toHaveLength(0)
    }),
    { numRuns: 1_000 },
  )
})
