import { callWithin, defaultContext } from './ambient.ts'
import type { Context } from './context.ts'
import type { Gate, Outcome } from './gate.ts'
import type { Handler } from './handler.ts'
import { deadlineExceeded, isRejection } from './rejection.ts'
import { type Ending, type Expiry, Scope, type Watcher } from './scope.ts'
import { warn } from './warn.ts'
import { answeredEarly, workBehind } from './work.ts'

/** Neighbouring gates, outermost first. */
interface Row {
  readonly gates: readonly Gate<any, any>[]
  /** Whether one of them is settled only when the handler has come to its end. */
  readonly waits: boolean
}

/**
 * Runs a row of gates around a handler in one asynchronous frame. To every gate, and to the caller, it looks as
 * if each gate had a frame of its own: admitted outermost first, settled innermost first, each once. In one place
 * only can the two be told apart: a gate that ends the call from its own `settle` comes too late for its row, which
 * has one answer and hears of that one.
 */
export function fuse<Req, Res>(gates: readonly Gate<any, any>[], next: Handler<Req, Res>): Handler<Req, Res> {
  const row: Row = { gates, waits: gates.some(gate => gate.until === 'work') }
  return (request, context = defaultContext()) => {
    const { scope } = context
    if (scope.ending !== undefined) return Promise.reject(scope.reason)
    const now = scope.clock.now()
    if (now >= scope.deadline) return Promise.reject(deadlineExceeded('context', false))
    const frame = new Frame(row, context)
    return frame.admit(request, now) ? frame.run(next, request) : frame.refused(now)
  }
}

/** A gate that replaced the context: from there on inward the call is part of another scope. */
interface Entry {
  readonly at: number
  readonly scope: Scope
  readonly outer: Entry | undefined
}

/**
 * One call on its way through a row of gates. It ends when the handler answers or when its context ends,
 * whichever comes first, so a handler that ignores its signal keeps nobody waiting. Only gates that ask for
 * `until: 'work'` wait for the handler itself.
 */
class Frame implements Watcher {
  private readonly row: Row
  private readonly outer: Scope
  private inner: Context
  private entry: Entry | undefined
  private readonly tickets: unknown[]
  private admitted: number
  private over: boolean
  private outcome: Outcome
  /** What the call failed with. */
  private error: unknown
  /** From this gate on inward the scope ended; the gates further out saw an error come up. */
  private split: number
  /** Whether gates that wait for the work itself are still to be settled. */
  private waiting: boolean
  private promise: Promise<any> | undefined
  private answer: Promise<any> | undefined
  private reject: ((error: unknown) => void) | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(row: Row, context: Context) {
    const { scope } = context
    this.row = row
    this.outer = scope
    this.inner = context
    this.entry = undefined
    this.tickets = new Array(row.gates.length)
    this.admitted = 0
    this.over = false
    this.outcome = 'success'
    this.error = undefined
    this.split = 0
    this.waiting = false
    this.promise = undefined
    this.answer = undefined
    this.reject = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (scope.endless) return
    if (scope.loose) this.own(context)
    this.inner.scope.watch(this)
  }

  /** Asks the gates. False when the call goes no further. */
  admit(request: unknown, now: number): boolean {
    const { gates } = this.row
    try {
      for (let i = 0; i < gates.length; i++) {
        const gate = gates[i]!
        const ticket = gate.admit(request, this.inner, now)
        if (isRejection(ticket)) return this.refuse(ticket)
        this.tickets[i] = ticket
        // The gate may have ended the call that it was asked about. The gates before it know already.
        if (this.over) return this.settle(i, now)
        this.admitted = i + 1
        if (gate.narrow !== undefined && !this.enter(gate.narrow(this.inner, ticket), i, now)) return false
      }
      return true
    } catch (error) {
      return this.refuse(error)
    }
  }

  /** The answer to a call that was not let in. */
  refused(now: number): Promise<never> {
    // The call may have ended while it was being asked about: then these have waited for work that never came.
    if (this.waiting) this.settleAll('work', now)
    return Promise.reject(this.error)
  }

  run<Req, Res>(next: Handler<Req, Res>, request: Req): Promise<Res> {
    let resolve: (value: Res) => void
    const promise = new Promise<Res>((onValue, onError) => {
      resolve = onValue
      this.reject = onError
    })
    this.promise = promise
    let answer: Promise<Res>
    try {
      // A handler written without types may return a plain value, or a promise of another make.
      answer = Promise.resolve(callWithin(this.inner, next, request))
    } catch (error) {
      answer = Promise.reject(error)
    }
    this.answer = answer
    // The handler may have ended its own call before it returned.
    if (this.over) this.leave(answer)
    answer.then(
      value => {
        if (this.over) return
        this.finish('success', undefined, false)
        resolve(value)
      },
      error => {
        if (this.over) return
        this.finish(outcomeOf(error), error, workBehind(answer) !== answer)
        this.reject!(error)
      },
    )
    return promise
  }

  scopeEnded(ending: Ending, reason: unknown): void {
    this.ended(ending, reason, true)
  }

  private ended(ending: Ending, reason: unknown, working: boolean): void {
    for (let entry = this.entry; entry?.scope.ending !== undefined; entry = entry.outer) this.split = entry.at
    if (this.outer.ending !== undefined) this.split = 0
    this.finish(ending, reason, working)
    this.reject?.(reason)
  }

  /** Gives the call a scope of its own where nobody would close the one that it came with. */
  private own(context: Context): void {
    const { scope } = context
    this.inner = context.within(new Scope(scope.clock, scope, scope.deadline, timedOut, undefined))
    this.entry = { at: 0, scope: this.inner.scope, outer: undefined }
  }

  /** Goes on with the context that a gate made of the one it was given. */
  private enter(context: Context, at: number, now: number): boolean {
    if (this.over) return false
    const from = this.inner.scope
    const { scope } = context
    const { name } = this.row.gates[at]!
    if (scope !== from && !scope.isBelow(from)) {
      throw new TypeError(`Expected narrow() of ${name} to derive its context from the one it was given`)
    }
    this.inner = context
    if (scope === from) return true
    this.entry = { at, scope, outer: this.entry }
    if (scope.ending !== undefined) {
      from.unwatch(this)
      this.ended(scope.ending, scope.reason, false)
      return false
    }
    from.handOver(this, scope)
    return now < scope.deadline || this.refuse(deadlineExceeded(name, false))
  }

  private refuse(error: unknown): false {
    if (!this.over) this.finish(outcomeOf(error), error, false)
    return false
  }

  /** The call has its answer. `working` when the handler has not come to its end yet. */
  private finish(outcome: Outcome, error: unknown, working: boolean): void {
    this.over = true
    this.outcome = outcome
    this.error = error
    this.waiting = working && this.row.waits
    const { scope } = this.inner
    if (!scope.endless) {
      scope.unwatch(this)
      for (let own = scope; own !== this.outer; own = own.parent!) own.close()
    }
    this.settleAll(working ? 'answer' : 'all', scope.clock.now())
    if (working && this.answer !== undefined) this.leave(this.answer)
  }

  /** Nobody waits for the handler any more, except gates that were let in until the work itself ends. */
  private leave(answer: Promise<unknown>): void {
    answeredEarly(this.promise!, answer)
    if (!this.waiting) return
    const done = (): void => this.settleAll('work', this.outer.clock.now())
    workBehind(answer).then(done, done)
  }

  /** Settles the gates that were let in, innermost first: all, or those whose call is over at that moment. */
  private settleAll(until: 'all' | 'answer' | 'work', now: number): void {
    const { gates, waits } = this.row
    for (let i = this.admitted - 1; i >= 0; i--) {
      if (waits && until !== 'all' && (gates[i]!.until ?? 'answer') !== until) continue
      this.settle(i, now)
    }
  }

  private settle(i: number, now: number): false {
    const gate = this.row.gates[i]!
    const outcome = i < this.split ? outcomeOf(this.error) : this.outcome
    try {
      gate.settle?.(this.tickets[i], outcome, now, this.error)
    } catch (error) {
      // It is too late to change the answer, and the gates further out must have their word.
      warn('SPILLWAY_SETTLE_FAILED', `${gate.name} threw from settle(): ${String(error)}`)
    }
    return false
  }
}

const timedOut: Expiry = () => deadlineExceeded('context', true)

/** What a failure means to the gates outside it. It depends on the error alone, so that fusing changes nothing. */
export function outcomeOf(error: unknown): Outcome {
  if (!isRejection(error)) return 'failure'
  if (error.reason === 'deadline-exceeded') return 'timeout'
  return error.reason === 'cancelled' ? 'cancelled' : 'refused'
}
