import fc from 'fast-check'
import { expect, test } from 'vitest'
import { defer } from '../internal/deferred.ts'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { type Context, createContext, openContext } from './context.ts'
import { fuse, fuseTask } from './fuse.ts'
import type { Gate } from './gate.ts'
import { Rejection } from './rejection.ts'
import type { TaskEnd } from './task.ts'

interface GateSpec {
  readonly admit: 'in' | 'read-signal' | 'refuse' | 'throw' | 'cancel' | 'cancel-and-refuse'
  readonly narrow: 'none' | 'value' | 'throw' | 'cancel' | 'deadline' | 'abort' | 'stranger'
  readonly narrowMs: number
  readonly until: 'answer' | 'work'
  readonly settle: 'log' | 'throw' | 'cancel' | 'none'
}

interface CallSpec {
  readonly gates: readonly GateSpec[]
  readonly act:
    | 'succeed'
    | 'fail'
    | 'refuse'
    | 'at-once'
    | 'throw'
    | 'cancel'
    | 'cancel-and-throw'
    | 'hang'
    | 'obey'
  readonly actMs: number
  readonly context: 'open' | 'created'
  readonly timeoutMs: number | undefined
  readonly abortAt: number | undefined
  readonly cancelAt: number | undefined
}

// What ends a call comes at even times and what the work does at odd ones: which of two things that happen at the
// same moment is heard of first is not what is compared.
const even = fc.integer({ min: 0, max: 20 }).map(n => 2 * n)
const maybe = fc.option(even, { nil: undefined, freq: 2 })
const gateSpec: fc.Arbitrary<GateSpec> = fc.record({
  admit: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom('in' as const, 'read-signal' as const) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        'refuse' as const,
        'throw' as const,
        'cancel' as const,
        'cancel-and-refuse' as const,
      ),
    },
  ),
  narrow: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom('none' as const, 'value' as const, 'deadline' as const, 'abort' as const),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom('throw' as const, 'cancel' as const, 'stranger' as const),
    },
  ),
  narrowMs: even,
  until: fc.constantFrom('answer', 'work'),
  settle: fc.constantFrom('log', 'log', 'log', 'throw', 'cancel', 'none'),
})
const callSpec: fc.Arbitrary<CallSpec> = fc.record({
  gates: fc.array(gateSpec, { minLength: 0, maxLength: 6 }),
  act: fc.constantFrom(
    'succeed',
    'fail',
    'refuse',
    'at-once',
    'throw',
    'cancel',
    'cancel-and-throw',
    'hang',
    'obey',
  ),
  actMs: even.map(n => n + 1),
  context: fc.constantFrom('open', 'open', 'created'),
  timeoutMs: maybe,
  abortAt: maybe,
  cancelAt: maybe,
})

/** One call as its gates, its work and its caller saw it. */
class Play {
  readonly log: string[] = []
  readonly clock: ManualClock = manualClock({ startMs: 0 })
  private readonly spec: CallSpec
  private readonly errors = new Set<unknown>()
  private readonly reason = this.own(new Error('cancelled by its owner'))
  private readonly source = new AbortController()
  private cancel: () => void = () => {}

  constructor(spec: CallSpec) {
    this.spec = spec
  }

  async run(how: 'promise' | 'task'): Promise<this> {
    const { clock, spec, source } = this
    const { timeoutMs, abortAt, cancelAt } = spec
    const options = { clock, timeoutMs, signal: abortAt === undefined ? undefined : source.signal }
    const opened = spec.context === 'open' ? openContext(options) : undefined
    const context = opened?.context ?? createContext(options)
    if (opened !== undefined) this.cancel = () => opened.cancel(this.reason)
    if (abortAt !== undefined) this.later(abortAt, () => source.abort(this.own(new Error('source aborted'))))
    if (cancelAt !== undefined) this.later(cancelAt, this.cancel)
    const gates = spec.gates.map((gate, i) => this.gate(gate, `g${i}`))
    if (how === 'promise') this.call(gates, context)
    else this.perform(gates, context)
    await clock.advance(200)
    opened?.close()
    this.note('armed', clock.armed)
    return this
  }

  private call(gates: Gate[], context: Context): void {
    const handle = (_request: unknown, context: Context): Promise<void> => {
      const { promise, resolve, reject } = defer<void>()
      this.work(context, { succeeded: resolve, failed: reject })
      return promise
    }
    fuse(gates, handle)('request', context).then(
      () => this.hear('done'),
      error => this.hear(this.say(error)),
    )
  }

  private perform(gates: Gate[], context: Context): void {
    const done = defer<void>()
    let over = false
    const failed = (error: unknown): void => {
      over = true
      void this.hear(this.say(error))
    }
    const begin = (context: Context, end: TaskEnd): void => {
      const succeeded = (): void => {
        end.succeeded()
        done.resolve()
        if (!over) void this.hear('done')
        over = true
      }
      const fails = (error: unknown): void => {
        end.failed(error)
        done.reject(error)
      }
      done.promise.catch(() => {})
      try {
        this.work(context, { succeeded, failed: fails })
      } catch (error) {
        done.reject(error)
        throw error
      }
    }
    fuseTask(gates)({ begin, failed, work: done.promise }, 'request', context)
  }

  private work(context: Context, end: TaskEnd): void {
    const { act, actMs } = this.spec
    this.note('begins', context.deadline, context.attempt)
    const refusal = new Rejection({ reason: 'no-endpoint', policy: 'work', retry: 'later' })
    const error = this.own(act === 'refuse' ? refusal : new Error('work failed'))
    if (act.startsWith('cancel')) this.cancel()
    if (act.endsWith('throw')) throw error
    if (act === 'at-once') end.succeeded()
    if (act === 'succeed' || act === 'cancel') this.later(actMs, () => end.succeeded())
    if (act === 'fail' || act === 'refuse') this.later(actMs, () => end.failed(error))
    if (act !== 'obey') return
    context.signal.addEventListener('abort', () => {
      this.note('is told', this.say(context.signal.reason))
      this.later(actMs, () => end.failed(context.signal.reason))
    })
  }

  private gate({ admit, narrow, narrowMs, until, settle }: GateSpec, name: string): Gate {
    const definition: Gate = {
      kind: 'other',
      name,
      until,
      admit: (request, context, now) => {
        this.note(name, 'asked', request, now, context.deadline, context.attempt)
        if (admit === 'read-signal') context.signal
        if (admit.startsWith('cancel')) this.cancel()
        if (admit === 'throw') throw this.own(new Error(`${name} threw`))
        const refusal = this.own(new Rejection({ reason: 'shed', policy: name, retry: 'elsewhere' }))
        return admit.endsWith('refuse') ? refusal : `ticket of ${name}`
      },
    }
    const narrowing = (context: Context): Context => {
      if (narrow === 'throw') throw this.own(new Error(`${name} threw from narrow`))
      if (narrow === 'cancel') this.cancel()
      if (narrow === 'stranger') return openContext({ clock: this.clock, timeoutMs: 500 }).context
      if (narrow === 'value') return context.with({ attempt: context.attempt + 1 })
      if (narrow === 'deadline') return openContext({ parent: context, timeoutMs: narrowMs }).context
      if (narrow !== 'abort') return context
      const source = new AbortController()
      const reason = this.own(new Error(`${name} aborted`))
      if (narrowMs === 0) source.abort(reason)
      else this.later(narrowMs, () => source.abort(reason))
      return openContext({ parent: context, signal: source.signal }).context
    }
    const settling: Gate['settle'] = (ticket, outcome, now, error) => {
      this.note(name, 'settled', ticket, outcome, now, this.say(error))
      if (settle === 'cancel') this.cancel()
      if (settle === 'throw') throw new Error('a bug in settle')
    }
    return {
      ...definition,
      ...(narrow === 'none' ? {} : { narrow: narrowing }),
      ...(settle === 'none' ? {} : { settle: settling }),
    }
  }

  private later(afterMs: number, ring: () => void): void {
    const alarm = { at: 0, keepAlive: false, next: undefined, previous: undefined, ring }
    this.clock.arm(alarm, this.clock.now() + afterMs)
  }

  /** The caller hears it last: how many turns of the microtask queue an answer takes is not what is compared. */
  private async hear(what: string): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await undefined
    this.note('caller hears', what)
  }

  private note(...words: unknown[]): void {
    this.log.push([this.clock.now(), ...words].join(' '))
  }

  private own<E>(error: E): E {
    this.errors.add(error)
    return error
  }

  /** Errors are told apart by what they say and by whether they are the same. */
  private say(error: unknown): string {
    if (error === undefined) return ''
    const kits = error instanceof Rejection && error.reason === 'deadline-exceeded'
    return `${error}${this.errors.has(error) || kits || error instanceof TypeError ? '' : ' (a copy)'}`
  }
}

test('a task sees and shows of its gates what a handler does, however the call goes', async () => {
  await fc.assert(
    fc.asyncProperty(callSpec, async spec => {
      const handled = await new Play(spec).run('promise')
      const performed = await new Play(spec).run('task')
      expect(performed.log).toEqual(handled.log)
    }),
    { numRuns: 2_000 },
  )
})
