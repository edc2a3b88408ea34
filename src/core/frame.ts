import { callWithin, defaultContext } from './ambient.ts'
import type { Context } from './context.ts'
import type { Gate, Outcome } from './gate.ts'
import type { Handler } from './handler.ts'
import { deadlineExceeded, isRejection } from './rejection.ts'
import type { Ending, Watcher } from './scope.ts'
import { answeredEarly, workBehind } from './work.ts'

type Gates = readonly Gate<any, any>[]

/**
 * Runs a row of gates around a handler in one asynchronous frame. To every gate, and to the caller, it looks as
 * if each gate had a frame of its own: admitted outermost first, settled innermost first, each once.
 */
export function fuse<Req, Res>(gates: Gates, next: Handler<Req, Res>): Handler<Req, Res> {
  const count = gates.length
  const lasting = gates.some(gate => gate.until === 'work')
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
    return new Frame(gates, tickets, inner, outer, lasting).run(next, request)
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
  private readonly lasting: boolean
  private over: boolean
  private outcome: Outcome
  private error: unknown
  private answer: Promise<unknown> | undefined
  private work: Promise<unknown> | undefined
  private reject: ((error: unknown) => void) | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(gates: Gates, tickets: unknown[], inner: Context, outer: Context, lasting: boolean) {
    this.gates = gates
    this.tickets = tickets
    this.inner = inner
    this.outer = outer
    this.lasting = lasting
    this.over = false
    this.outcome = 'success'
    this.error = undefined
    this.answer = undefined
    this.work = undefined
    this.reject = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  run<Req, Res>(next: Handler<Req, Res>, request: Req): Promise<Res> {
    const { inner } = this
    const answer = new Promise<Res>((resolve, reject) => {
      this.reject = reject
      if (!inner.scope.endless) inner.scope.watch(this)
      let work: Promise<Res>
      try {
        work = inner === this.outer ? next(request, inner) : callWithin(inner, next, request)
      } catch (error) {
        this.close(outcomeOf(error), error, true)
        return reject(error)
      }
      this.work = work
      work.then(
        value => {
          this.close('success', undefined, true)
          resolve(value)
        },
        error => {
          this.fail(work, error)
          reject(error)
        },
      )
    })
    this.answer = answer
    // The context may have ended during the call of `next`, before there was anything to note it on.
    if (this.over && this.work !== undefined) answeredEarly(answer, this.work)
    return answer
  }

  /** The failure may be an early answer from further in, and the work behind it still go on. */
  private fail(work: Promise<unknown>, error: unknown): void {
    const outcome = outcomeOf(error)
    const behind = workBehind(work)
    if (behind === work) {
      this.close(outcome, error, true)
      return
    }
    this.close(outcome, error, false)
    answeredEarly(this.answer!, behind)
    if (!this.lasting) return
    const ended = (): void => this.close(outcome, error, true)
    behind.then(ended, ended)
  }

  /** Settles every gate that has nothing left to wait for. */
  private close(outcome: Outcome, error: unknown, worked: boolean): void {
    const { gates, tickets, inner } = this
    const { scope } = inner
    if (!this.over) {
      this.over = true
      this.outcome = outcome
      this.error = error
      if (!scope.endless) {
        scope.unwatch(this)
        for (let own = scope; own !== this.outer.scope; own = own.parent!) own.close()
      }
      if (worked) unwind(gates, tickets, gates.length, outcome, scope.clock.now(), error)
      else unwind(gates, tickets, gates.length, outcome, scope.clock.now(), error, 'answer')
    } else if (worked && this.lasting) {
      unwind(gates, tickets, gates.length, this.outcome, scope.clock.now(), this.error, 'work')
    }
  }

  /** @internal The call's time is up, or nobody waits for it any more. */
  scopeEnded(ending: Ending, reason: unknown): void {
    this.close(ending, reason, false)
    if (this.answer !== undefined && this.work !== undefined) answeredEarly(this.answer, this.work)
    this.reject!(reason)
  }
}

/** Settles the first `count` gates, innermost first; with `until`, only those that wait for just that. */
function unwind(
  gates: Gates,
  tickets: readonly unknown[],
  count: number,
  outcome: Outcome,
  now: number,
  error: unknown,
  until?: 'answer' | 'work',
): void {
  for (let i = count - 1; i >= 0; i--) {
    const gate = gates[i]!
    if (until === undefined || (gate.until ?? 'answer') === until) {
      gate.settle?.(tickets[i], outcome, now, error)
    }
  }
}

/** What a failure means to the gates outside it. It depends on the error alone, so that fusing changes nothing. */
export function outcomeOf(error: unknown): Outcome {
  if (!isRejection(error)) return 'failure'
  if (error.reason === 'deadline-exceeded') return 'timeout'
  return error.reason === 'cancelled' ? 'cancelled' : 'refused'
}
