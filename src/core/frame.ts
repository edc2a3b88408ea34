import { callWithin, defaultContext } from './ambient.ts'
import type { Context } from './context.ts'
import type { Gate, Outcome } from './gate.ts'
import type { Handler } from './handler.ts'
import { deadlineExceeded, isRejection } from './rejection.ts'
import type { Ending, Watcher } from './scope.ts'

type Gates = readonly Gate<any, any>[]

/**
 * Runs a row of gates around a handler in one asynchronous frame. To every gate, and to the caller, it looks as
 * if each gate had a frame of its own: admitted outermost first, settled innermost first, each once.
 */
export function fuse<Req, Res>(gates: Gates, next: Handler<Req, Res>): Handler<Req, Res> {
  const count = gates.length
  return (request, given) => {
    const outer = given ?? defaultContext()
    const { scope } = outer
    if (scope.ending !== undefined) return Promise.reject(scope.reason)
    const { clock } = scope
    const now = clock.now()
    if (now >= scope.deadline) return Promise.reject(deadlineExceeded('context', false))

    const tickets: unknown[] = new Array(count)
    let inner = outer
    for (let i = 0; i < count; i++) {
      const gate = gates[i]!
      let ticket: unknown
      try {
        ticket = gate.admit(request, inner, now)
        if (isRejection(ticket)) {
          if (i > 0) unwind(gates, tickets, i, outcomeOf(ticket), clock.now(), ticket)
          return Promise.reject(ticket)
        }
        tickets[i] = ticket
        if (gate.narrow !== undefined) inner = gate.narrow(inner, ticket)
      } catch (error) {
        unwind(gates, tickets, i, 'failure', clock.now(), error)
        return Promise.reject(error)
      }
    }
    return new Frame(gates, tickets, inner, outer).run(next, request)
  }
}

/**
 * One call on its way through a row of gates. It ends when the handler answers or when its context ends,
 * whichever comes first, so a handler that ignores its signal keeps nobody waiting. Only gates that ask for
 * `until: 'work'` wait for the handler itself.
 */
class Frame implements Watcher {
  private readonly gates: Gates
  private readonly tickets: unknown[]
  private readonly inner: Context
  private readonly outer: Context
  private over: boolean
  private reject: ((error: unknown) => void) | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(gates: Gates, tickets: unknown[], inner: Context, outer: Context) {
    this.gates = gates
    this.tickets = tickets
    this.inner = inner
    this.outer = outer
    this.over = false
    this.reject = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  run<Req, Res>(next: Handler<Req, Res>, request: Req): Promise<Res> {
    const { inner } = this
    return new Promise((resolve, reject) => {
      this.reject = reject
      if (!inner.scope.endless) inner.scope.watch(this)
      let answer: Promise<Res>
      try {
        answer = inner === this.outer ? next(request, inner) : callWithin(inner, next, request)
      } catch (error) {
        this.finish(outcomeOf(error), error)
        return reject(error)
      }
      answer.then(
        value => {
          this.finish('success', undefined)
          resolve(value)
        },
        error => {
          this.finish(outcomeOf(error), error)
          reject(error)
        },
      )
    })
  }

  finish(outcome: Outcome, error: unknown): void {
    if (this.over) return
    this.over = true
    const scope = this.inner.scope
    if (!scope.endless) {
      scope.unwatch(this)
      for (let own = scope; own !== this.outer.scope; own = own.parent!) own.close()
    }
    unwind(this.gates, this.tickets, this.gates.length, outcome, scope.clock.now(), error)
  }

  scopeEnded(ending: Ending, reason: unknown): void {
    this.finish(ending, reason)
    this.reject!(reason)
  }
}

/** Settles the first `count` gates, innermost first. */
function unwind(
  gates: Gates,
  tickets: readonly unknown[],
  count: number,
  outcome: Outcome,
  now: number,
  error: unknown,
): void {
  for (let i = count - 1; i >= 0; i--) gates[i]!.settle?.(tickets[i], outcome, now, error)
}

/** What a failure means to the gates outside it. It depends on the error alone, so that fusing changes nothing. */
function outcomeOf(error: unknown): Outcome {
  if (!isRejection(error)) return 'failure'
  if (error.reason === 'deadline-exceeded') return 'timeout'
  return error.reason === 'cancelled' ? 'cancelled' : 'refused'
}
