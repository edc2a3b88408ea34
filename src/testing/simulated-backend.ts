import type { Alarm, Clock } from '../core/clock.ts'
import type { Context } from '../core/context.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import type { Ending, Watcher } from '../core/scope.ts'

/** How the backend treats one call. */
export interface Turn<Res = unknown> {
  /** How long the call is being served, not counting the wait for a slot. @default 0 */
  readonly latencyMs?: number
  /** What it answers. @default undefined */
  readonly answer?: Res
  /** What it fails with instead, once it has been served. */
  readonly fail?: unknown
  /** Never answers: the call ends when its context does. @default false */
  readonly hang?: boolean
  /** Goes on to the end, and keeps its slot, though the call was cancelled. @default false */
  readonly stubborn?: boolean
}

/** What a script may go by. */
export interface Arrival<Req = unknown> {
  readonly request: Req
  readonly context: Context
  /** Which call of the backend this is, from 1. */
  readonly number: number
  /** When it came. */
  readonly now: number
  readonly random: () => number
}

/** One turn after the other, the last of them for all calls that follow; or a turn worked out for each call. */
export type Script<Req = unknown, Res = unknown> =
  | readonly Turn<Res>[]
  | ((arrival: Arrival<Req>) => Turn<Res>)

export interface SimulatedBackendOptions<Req = unknown, Res = unknown> {
  /** What it serves time by. @default the clock of each call's context */
  readonly clock?: Clock
  /** What a script gets to throw dice with. Give a seeded one for tests that can be repeated. @default Math.random */
  readonly random?: () => number
  readonly script: Script<Req, Res>
  /** How many calls are served at once; the others wait in line, first come, first served. @default Infinity */
  readonly slots?: number
  /** @default 'backend' */
  readonly name?: string
}

export interface SimulatedBackendSnapshot {
  /** Calls that came. */
  readonly calls: number
  /** Calls being served. */
  readonly inFlight: number
  /** The most there have been at once. */
  readonly maxInFlight: number
  /** Calls that wait for a slot. */
  readonly queued: number
  readonly answered: number
  readonly failed: number
  /** Calls whose context ended while they waited or were served. */
  readonly cancelled: number
}

/** A handler that does what a script says. */
export interface SimulatedBackend<Req = unknown, Res = unknown> extends SimulatedBackendSnapshot {
  (request: Req, context: Context): Promise<Res>
  readonly name: string
  /** Goes on by another script, from its first turn: an outage begins, or is over. */
  play(script: Script<Req, Res>): void
  snapshot(): SimulatedBackendSnapshot
  /** Sets the counters back. What is being served or waits goes on. */
  reset(): void
}

/**
 * A dependency for tests: a handler with scripted latencies and failures, a number of slots and a line in front of
 * them. It obeys its context, as a good client library does: a call that is cancelled or out of time fails at once,
 * and gives its slot to the next.
 */
export function simulatedBackend<Req = unknown, Res = unknown>(
  options: SimulatedBackendOptions<Req, Res>,
): SimulatedBackend<Req, Res> {
  const backend = new Backend(options)
  const handler = (request: Req, context: Context): Promise<Res> => backend.serve(request, context)
  for (const counter of Object.keys(backend.snapshot()) as (keyof SimulatedBackendSnapshot)[]) {
    Object.defineProperty(handler, counter, { enumerable: true, get: () => backend.snapshot()[counter] })
  }
  Object.defineProperty(handler, 'name', { value: nameOption('name', options.name ?? 'backend') })
  return Object.assign(handler, {
    play: (script: Script<Req, Res>) => backend.play(script),
    snapshot: () => backend.snapshot(),
    reset: () => backend.reset(),
  }) as unknown as SimulatedBackend<Req, Res>
}

class Backend<Req, Res> {
  readonly random: () => number
  private readonly clock: Clock | undefined
  private readonly slots: number
  private readonly line: Visit<Req, Res>[] = []
  private script: Script<Req, Res>
  private played = 0
  private calls = 0
  private inFlight = 0
  private maxInFlight = 0
  private answered = 0
  private failed = 0
  private cancelled = 0

  constructor(options: SimulatedBackendOptions<Req, Res>) {
    knownOptions('simulatedBackend', options, ['clock', 'random', 'script', 'slots', 'name'])
    this.clock = options.clock
    this.random = options.random ?? Math.random
    this.slots = numberOption('slots', options.slots ?? Infinity, { min: 1, integer: true, infinite: true })
    this.script = checkScript(options.script)
  }

  serve(request: Req, context: Context): Promise<Res> {
    const { scope } = context
    const clock = this.clock ?? context.clock
    const number = ++this.calls
    if (scope.ending !== undefined) {
      this.cancelled++
      return Promise.reject(scope.reason)
    }
    const turn = this.turn({ request, context, number, now: clock.now(), random: this.random })
    return new Promise((resolve, reject) => {
      const visit = new Visit(this, turn, clock, context, resolve, reject)
      if (this.inFlight < this.slots) this.begin(visit)
      else this.line.push(visit)
    })
  }

  play(script: Script<Req, Res>): void {
    this.script = checkScript(script)
    this.played = 0
  }

  /** A visit has given its slot back. */
  ended(how: 'answered' | 'failed' | undefined): void {
    if (how !== undefined) this[how]++
    this.inFlight--
    const next = this.line.shift()
    if (next !== undefined) this.begin(next)
  }

  /** A call was cut off. */
  left(visit: Visit<Req, Res>): void {
    this.cancelled++
    const place = this.line.indexOf(visit)
    if (place >= 0) this.line.splice(place, 1)
  }

  snapshot(): SimulatedBackendSnapshot {
    const { calls, inFlight, maxInFlight, answered, failed, cancelled } = this
    return { calls, inFlight, maxInFlight, queued: this.line.length, answered, failed, cancelled }
  }

  reset(): void {
    this.calls = 0
    this.maxInFlight = this.inFlight
    this.answered = 0
    this.failed = 0
    this.cancelled = 0
  }

  private begin(visit: Visit<Req, Res>): void {
    this.inFlight++
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight)
    visit.begin()
  }

  private turn(arrival: Arrival<Req>): Turn<Res> {
    const { script } = this
    if (typeof script === 'function') return script(arrival)
    return script[Math.min(this.played++, script.length - 1)]!
  }
}

/** One call: it waits for a slot, is served, and ends; or its context ends first. */
class Visit<Req, Res> implements Alarm, Watcher {
  at = 0
  readonly keepAlive: boolean = false
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  private served = false
  private readonly backend: Backend<Req, Res>
  private readonly turn: Turn<Res>
  private readonly clock: Clock
  private readonly context: Context
  private readonly resolve: (answer: Res) => void
  private readonly reject: (error: unknown) => void

  constructor(
    backend: Backend<Req, Res>,
    turn: Turn<Res>,
    clock: Clock,
    context: Context,
    resolve: (answer: Res) => void,
    reject: (error: unknown) => void,
  ) {
    this.backend = backend
    this.turn = turn
    this.clock = clock
    this.context = context
    this.resolve = resolve
    this.reject = reject
    if (!context.scope.endless) context.scope.watch(this)
  }

  begin(): void {
    this.served = true
    if (this.turn.hang === true) return
    const latencyMs = numberOption('latencyMs', this.turn.latencyMs ?? 0, { min: 0 })
    this.clock.arm(this, this.clock.now() + latencyMs)
  }

  ring(): void {
    this.context.scope.unwatch(this)
    const { turn } = this
    const fails = 'fail' in turn
    this.backend.ended(fails ? 'failed' : 'answered')
    if (fails) this.reject(turn.fail)
    else this.resolve(turn.answer as Res)
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.backend.left(this)
    if (this.served) {
      if (this.turn.stubborn === true) return
      this.clock.disarm(this)
      this.backend.ended(undefined)
    }
    this.reject(reason)
  }
}

function checkScript<S extends Script<any, any>>(script: S): S {
  if (typeof script === 'function' || (Array.isArray(script) && script.length > 0)) return script
  throw new TypeError('Expected `script` to be a function or an array of at least one turn')
}
