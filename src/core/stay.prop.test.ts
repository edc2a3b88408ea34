import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Deferred, defer } from '../internal/deferred.ts'
import { type ManualClock, manualClock } from '../testing/manual-clock.ts'
import { chain, gate, layer } from './chain.ts'
import type { Alarm } from './clock.ts'
import { type Context, createContext, type OpenContext, openContext } from './context.ts'
import type { Gate } from './gate.ts'
import type { Call, Protection } from './handler.ts'
import { deadlineExceeded, isRejection } from './rejection.ts'
import { Scope, type Watcher } from './scope.ts'

/** Something that anybody may do with a context, or with a call. */
const acts = [
  'signal',
  'ending',
  'ended',
  'deadline',
  'busy',
  'watch',
  'unwatch',
  'open',
  'close',
  'cancel',
  'end',
  'end',
  'with',
  'call',
  'alarm',
  'answer',
  'fail',
] as const
type Act = (typeof acts)[number]

interface Do {
  readonly act: Act
  readonly on: number
}

interface GateSpec {
  readonly kind: 'limit' | 'value' | 'plain' | 'rescue'
  readonly ms: number
  readonly admit: Do | undefined
  readonly settle: Do | undefined
  readonly late: boolean
  /** Whether a layer stands before it, which breaks the row. */
  readonly cut: boolean
}

interface Script {
  readonly root: 'endless' | 'created' | 'opened' | 'sourced' | 'opened-sourced'
  readonly rootMs: number
  readonly gates: readonly GateSpec[]
  readonly handler: 'wait' | 'answer' | 'fail' | 'obey'
  readonly inHandler: Do | undefined
  /** What whoever hears of an end does then. */
  readonly whenTold: Do | undefined
  readonly steps: readonly (Do | { readonly passMs: number } | 'begin' | 'abort')[]
}

const doing: fc.Arbitrary<Do> = fc.record({ act: fc.constantFrom(...acts), on: fc.nat({ max: 11 }) })
const maybe = fc.option(doing, { nil: undefined, freq: 2 })
const ms = fc.integer({ min: 0, max: 12 }).map(n => n * 5)
const gateSpec: fc.Arbitrary<GateSpec> = fc.record({
  kind: fc.constantFrom('limit', 'limit', 'value', 'plain', 'rescue'),
  ms,
  admit: maybe,
  settle: maybe,
  late: fc.boolean(),
  cut: fc.nat({ max: 3 }).map(n => n === 0),
})
const script: fc.Arbitrary<Script> = fc.record({
  root: fc.constantFrom('endless', 'created', 'opened', 'sourced', 'opened-sourced'),
  rootMs: ms,
  gates: fc.array(gateSpec, { minLength: 1, maxLength: 5 }),
  handler: fc.constantFrom('wait', 'wait', 'wait', 'wait', 'answer', 'fail', 'obey'),
  inHandler: maybe,
  whenTold: maybe,
  steps: fc.array(
    fc.oneof(
      { weight: 6, arbitrary: doing },
      { weight: 3, arbitrary: fc.record({ passMs: ms }) },
      { weight: 2, arbitrary: fc.constant('begin' as const) },
      { weight: 1, arbitrary: fc.constant('abort' as const) },
    ),
    { minLength: 1, maxLength: 14, size: 'max' },
  ),
})

/** Runs a script, and writes down all that anybody could tell. */
class World {
  readonly log: string[] = []
  private readonly clock: ManualClock = manualClock({ startMs: 0 })
  private readonly source = new AbortController()
  private readonly eager: boolean
  private readonly script: Script
  private readonly contexts: Context[] = []
  private readonly opened: OpenContext[] = []
  private readonly watchers: { context: Context; watcher: Watcher }[] = []
  private readonly works: Deferred<unknown>[] = []
  private readonly reasons: unknown[] = []
  private readonly signals: AbortSignal[] = []
  private readonly call: Call<number, unknown>
  private depth = 0
  /** Whether the script itself does something, and not somebody who is being told of an end. */
  private quiet = false
  private begun = 0
  private readonly root: Context

  constructor(script: Script, eager: boolean) {
    this.script = script
    this.eager = eager
    // Told before any scope is.
    this.source.signal.addEventListener('abort', () => {
      this.told()
      this.begin()
    })
    this.root = this.makeRoot()
    this.contexts.push(this.root)
    this.call = chain(...script.gates.flatMap((spec, i) => this.gateOf(spec, `gate ${i}`)))(
      (_: number, context: Context) => this.handle(context),
    ) as Call<number, unknown>
  }

  async run(): Promise<void> {
    this.begin()
    for (const step of this.script.steps) {
      if (step === 'begin') this.begin()
      else if (step === 'abort') this.source.abort('source')
      else if ('act' in step) {
        this.quiet = true
        this.perform(step)
        this.quiet = false
      } else await this.clock.advance(step.passMs)
      await this.clock.flush()
      this.log.push(`armed ${this.clock.armed}`)
    }
    for (const work of this.works) work.resolve('late')
    for (const { context, close } of this.opened) {
      close()
      this.note(context, 'closed')
    }
    for (const { context, watcher } of this.watchers) context.scope.unwatch(watcher)
    await this.clock.advance(200)
    this.quiet = true
    for (const context of this.contexts) this.note(context, 'at last')
    const heard = getEventListeners(this.source.signal, 'abort').length
    this.log.push(`armed ${this.clock.armed}, listeners ${heard}`)
  }

  private makeRoot(): Context {
    const { clock } = this
    const { root, rootMs } = this.script
    const { signal } = this.source
    if (root === 'endless') return createContext({ clock })
    if (root === 'created') return createContext({ clock, timeoutMs: rootMs })
    if (root === 'sourced') return createContext({ clock, signal })
    const opened = openContext(root === 'opened' ? { clock, timeoutMs: rootMs } : { clock, signal })
    this.opened.push(opened)
    return opened.context
  }

  private begin(): void {
    const n = this.begun++
    this.call(n, this.root).then(
      value => this.log.push(`call ${n} answered ${String(value)}`),
      error => this.log.push(`call ${n} failed with ${this.label(error)}`),
    )
  }

  private gateOf(spec: GateSpec, name: string): readonly Protection[] {
    const world = this
    const definition: Gate<unknown, number> = {
      kind: 'other',
      name,
      until: spec.late ? 'work' : 'answer',
      admit(_request, context, now) {
        world.see(context)
        if (spec.admit !== undefined) world.perform(spec.admit)
        return now
      },
      settle(_ticket, outcome, now, error) {
        world.log.push(`${name} settled ${outcome} at ${now} with ${world.label(error)}`)
        if (spec.settle !== undefined) world.perform(spec.settle)
      },
      ...(spec.kind === 'limit' && { narrow: context => world.limit(context, spec.ms, name) }),
      ...(spec.kind === 'value' && { narrow: context => context.with({ tenant: name }) }),
      ...(spec.kind === 'rescue' && {
        rescue(call) {
          world.log.push(`${name} asked at ${world.clock.now()} about ${world.label(call.error)}`)
          return spec.late ? undefined : call.again(call.context.with({ attempt: 2 }))
        },
      }),
    }
    const made = gate(definition)
    if (!spec.cut) return [made]
    return [layer({ kind: 'other', name: 'cut' }, next => (request, context) => next(request, context)), made]
  }

  /** A context that ends after `ms`: as `until` makes it, or with a scope from the start. */
  private limit(context: Context, ms: number, policy: string): Context {
    const end = this.clock.now() + ms
    if (end >= context.deadline) return context
    const expiry = (): unknown => deadlineExceeded(policy, true)
    if (!this.eager) return context.until(end, expiry)
    return context.within(new Scope(this.clock, context.scope, end, expiry, undefined))
  }

  private async handle(context: Context): Promise<unknown> {
    this.see(context)
    if (this.script.inHandler !== undefined) this.perform(this.script.inHandler)
    const { handler } = this.script
    if (handler === 'answer') return 'at once'
    if (handler === 'fail') throw new Error('at once')
    const work = defer<unknown>()
    this.works.push(work)
    if (handler === 'obey') context.signal.addEventListener('abort', () => work.reject(context.signal.reason))
    return work.promise
  }

  private see(context: Context): void {
    this.contexts.push(context)
  }

  private told(): void {
    if (this.script.whenTold !== undefined) this.perform(this.script.whenTold)
  }

  private perform({ act, on }: Do): void {
    // What is done may set off something that does the same.
    if (this.depth > 3) return
    this.depth++
    try {
      // Mostly the latest.
      const at = Math.max(0, this.contexts.length - 1 - on)
      this.act(act, this.contexts[at]!, at)
    } finally {
      this.depth--
    }
  }

  private act(act: Act, context: Context, at: number): void {
    const { log, clock } = this
    const opened = this.opened[at % Math.max(1, this.opened.length)]
    switch (act) {
      case 'signal': {
        const { signal } = context
        const known = this.signals.indexOf(signal)
        log.push(`signal ${at} is ${known} ${signal.aborted} ${this.label(signal.reason)}`)
        if (known >= 0) return
        this.signals.push(signal)
        signal.addEventListener('abort', () => {
          log.push(`signal of ${at} aborted at ${clock.now()} with ${this.label(signal.reason)}`)
          this.told()
        })
        return
      }
      case 'ended':
        log.push(`ended ${at} ${context.ended}`)
        return
      case 'deadline':
        log.push(`deadline ${at} ${context.deadline} ${context.remainingMs}`)
        return
      case 'busy':
        log.push(`busy ${at} ${this.busy(context.scope)}`)
        return
      case 'watch':
        this.watch(context, at)
        return
      case 'unwatch': {
        const first = this.watchers.shift()
        first?.context.scope.unwatch(first.watcher)
        return
      }
      case 'open': {
        const child = openContext({ parent: context, timeoutMs: at % 2 === 0 ? 20 : undefined })
        this.opened.push(child)
        this.see(child.context)
        return
      }
      case 'close':
        opened?.close()
        return
      case 'cancel':
        opened?.cancel(`cancelled by ${at}`)
        return
      case 'end':
        context.scope.end('cancelled', `ended by ${at}`)
        return
      case 'with':
        this.see(context.with({ caller: `${at}` }))
        return
      case 'call':
        this.callWithin(context, at)
        return
      case 'alarm':
        this.arm(at, context.deadline)
        return
      case 'answer':
        this.works.shift()?.resolve('later')
        return
      case 'fail':
        this.works.shift()?.reject(new Error('later'))
        return
      default:
        this.note(context, `look at ${at}`)
    }
  }

  private watch(context: Context, at: number): void {
    const { scope } = context
    if (scope.ending !== undefined || scope.endless) return
    const watcher: Watcher = {
      nextWatcher: undefined,
      previousWatcher: undefined,
      scopeEnded: (ending, reason) => {
        this.log.push(`watcher of ${at} told ${ending} ${this.label(reason)}`)
        this.told()
      },
    }
    this.watchers.push({ context, watcher })
    scope.watch(watcher)
  }

  /** A call further in, which lasts until its time is over. */
  private callWithin(context: Context, at: number): void {
    const limited = gate({
      kind: 'other',
      name: `inner ${at}`,
      admit: () => undefined,
      narrow: inner => this.limit(inner, 10, `inner ${at}`),
    })
    limited(() => new Promise(() => {}))(undefined, context).catch(error => {
      this.log.push(`inner call of ${at} failed at ${this.clock.now()} with ${this.label(error)}`)
    })
  }

  /** Something else that is due at the very same time. */
  private arm(at: number, time: number): void {
    if (time === Infinity) return
    const alarm: Alarm = {
      at: 0,
      keepAlive: true,
      next: undefined,
      previous: undefined,
      ring: () => this.log.push(`alarm of ${at} rang at ${this.clock.now()}`),
    }
    this.clock.arm(alarm, time)
  }

  private note({ scope }: Context, when: string): void {
    const before = `${this.label(scope.reason)} ${this.busy(scope)}`
    this.log.push(`${when}: ${before} ${scope.ending} ${this.label(scope.reason)}`)
  }

  /** A scope that is ending still has what hangs in it, until that has been told in its turn. */
  private busy(scope: Scope): boolean | undefined {
    return this.quiet && this.depth <= 1 ? scope.busy : undefined
  }

  /** The same name for the same error, and another for every other. */
  private label(reason: unknown): string {
    if (typeof reason !== 'object' || reason === null) return String(reason)
    if (!this.reasons.includes(reason)) this.reasons.push(reason)
    const what = isRejection(reason) ? `${reason.reason} of ${reason.policy}` : String(reason)
    return `#${this.reasons.indexOf(reason)} ${what}`
  }
}

test('nobody can tell a scope that is made when somebody asks for it from one that is made at once', async () => {
  await fc.assert(
    fc.asyncProperty(script, async script => {
      const eager = new World(script, true)
      const lazy = new World(script, false)
      await eager.run()
      await lazy.run()
      expect(lazy.log).toEqual(eager.log)
    }),
    { numRuns: 3_000 },
  )
})
