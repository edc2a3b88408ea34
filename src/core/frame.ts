import { callWithin } from './ambient.ts'
import type { Alarm } from './clock.ts'
import type { Context } from './context.ts'
import type { FailedCall, Outcome } from './gate.ts'
import type { Handler } from './handler.ts'
import { outcomeOf } from './outcome.ts'
import { deadlineExceeded, isRejection } from './rejection.ts'
import type { Row, Step } from './row.ts'
import type { Scope } from './scope.ts'
import { arrive, depart, endedFrom, enter, giveWay, type Stay, told } from './stay.ts'
import type { Task, TaskEnd } from './task.ts'
import type { Ending, Watcher } from './watcher.ts'
import { answeredEarly, onceDone, workBehind } from './work.ts'

/** For what is to happen a moment from now. */
export const soon: Promise<void> = Promise.resolve()

/**
 * One call on its way through a row of gates. It ends when the handler answers or when its context ends,
 * whichever comes first, so a handler that ignores its signal keeps nobody waiting. Only gates that ask for
 * `until: 'work'` wait for the handler itself.
 */
export class Frame implements Stay, FailedCall, TaskEnd {
  readonly request: unknown
  context: Context
  error: unknown
  behind: Promise<unknown> | undefined
  private readonly row: Row
  private readonly tickets: unknown[]
  /** How many gates have let the call in and are to hear how it comes out. */
  private admitted: number
  /** The gate that is to be asked if the call fails. */
  private rescuer: number
  private over: boolean
  private outcome: Outcome
  /** From this gate on inward the scope ended; the gates further out saw an error come up. */
  private split: number
  /** Whether gates that wait for the work itself are still to be settled. */
  private waiting: boolean
  private promise: Promise<any> | undefined
  /** In place of a promise and of a handler. */
  private task: Task | undefined
  private begun: boolean
  /** What the call waits for: the handler, or the gate that rescues it. */
  private answer: Promise<any> | undefined
  private resolve: ((value: any) => void) | undefined
  private reject: ((error: unknown) => void) | undefined
  // What it is as a stay.
  readonly outer: Scope
  entered: number
  entries: Stay['entries']
  standsFor: Step | undefined
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(row: Row, request: unknown, context: Context) {
    this.request = request
    this.context = context
    this.error = undefined
    this.behind = undefined
    this.row = row
    // Long enough for most rows, and made faster than an array of a length that is known only now; with the request in
    // it, because an array of constants is shared until somebody writes to it.
    this.tickets = [request, undefined, undefined, undefined, undefined, undefined, undefined, undefined]
    this.admitted = 0
    this.rescuer = row.rescuer
    this.over = false
    this.outcome = 'success'
    this.split = 0
    this.waiting = false
    this.promise = undefined
    this.task = undefined
    this.begun = false
    this.answer = undefined
    this.resolve = undefined
    this.reject = undefined
    this.outer = context.scope
    this.entered = -1
    this.entries = undefined
    this.standsFor = undefined
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    arrive(this)
  }

  /** Somebody waits for the call, so its timeout must come. */
  get keepAlive(): boolean {
    return true
  }

  get at(): number {
    return this.context.deadline
  }

  set at(_: number) {}

  ring(): void {
    this.context.scope.ring()
  }

  giveWay(scope: Scope): void {
    giveWay(this, scope)
  }

  run(now: number): Promise<any> {
    const promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise = promise
    if (this.admit(now)) this.follow(this.call(this.row.next, this.context))
    // The call ended while the gates were asked: some of them have waited for work that never came.
    else if (this.waiting) this.leave(soon)
    return promise
  }

  /** Like `run`, for a task. */
  perform(task: Task, now: number): void {
    this.task = task
    if (!this.admit(now)) {
      if (this.waiting) this.leave(soon)
      task.failed(this.error)
      return
    }
    this.begun = true
    try {
      task.begin(this.context, this)
    } catch (error) {
      this.failed(error)
    }
  }

  /** The task has been done. */
  succeeded(): void {
    if (!this.over) this.succeed()
  }

  /** The task has failed. */
  failed(error: unknown): void {
    if (!this.over && this.fails(error, undefined)) this.task!.failed(this.error)
  }

  again(context: Context): Promise<any> {
    return this.call(this.row.rest, context)
  }

  scopeEnded(ending: Ending, reason: unknown): void {
    told(this)
    if (!this.over) this.ended(ending, reason, true)
  }

  private ended(ending: Ending, reason: unknown, working: boolean): void {
    this.split = endedFrom(this)
    this.finish(ending, reason, working)
    if (this.task === undefined) this.reject!(reason)
    // One that has not begun is told when the gates have been asked.
    else if (this.begun) this.task.failed(reason)
  }

  /** Asks the gates. False when the handler is not to be called. */
  private admit(now: number): boolean {
    const { steps } = this.row
    try {
      for (let i = 0; i < steps.length; i++) {
        const { gate, admit, narrow } = steps[i]!
        const ticket = admit.call(gate, this.request, this.context, now)
        if (isRejection(ticket)) return this.refuse(ticket)
        this.tickets[i] = ticket
        // The gate may have ended the call that it was asked about. The gates before it know already.
        if (this.over) return this.settle(i, now, this.outcome, this.error)
        this.admitted = i + 1
        if (narrow !== undefined && !this.go(narrow.call(gate, this.context, ticket), i, now)) return false
      }
      return true
    } catch (error) {
      return this.refuse(error)
    }
  }

  /** Goes on with the context that a gate made of the one it was given. */
  private go(context: Context, at: number, now: number): boolean {
    if (this.over) return false
    if (context === this.context) return true
    const step = this.row.steps[at]!
    if (!enter(this, context, at, step)) {
      const { ending, reason } = context.scope
      this.ended(ending!, reason, false)
      return false
    }
    return now < context.deadline || this.refuse(deadlineExceeded(step.gate.name, false))
  }

  private refuse(error: unknown): false {
    if (this.over || !this.fails(error, undefined) || this.task !== undefined) return false
    soon.then(() => this.reject!(this.error))
    return false
  }

  private call(next: Handler<any, any>, context: Context): Promise<any> {
    try {
      // A handler written without types may return a plain value, or a promise of another make.
      return Promise.resolve(callWithin(context, next, this.request))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  private follow(answer: Promise<unknown>): void {
    this.answer = answer
    // Whoever was called may have ended the call before it returned.
    if (this.over) this.leave(answer)
    answer.then(
      value => {
        if (this.over) return
        this.succeed()
        this.resolve!(value)
      },
      error => {
        if (this.over) return
        const work = workBehind(answer)
        if (this.fails(error, work === answer ? undefined : work)) this.reject!(this.error)
      },
    )
  }

  /** An error has come up; `behind` is what goes on of the work. False if the call goes on too. */
  private fails(error: unknown, behind: Promise<unknown> | undefined): boolean {
    this.outcome = outcomeOf(error)
    this.error = error
    this.behind = behind
    if (this.rescuer < this.admitted && this.rescued()) return false
    this.finish(outcomeOf(this.error), this.error, behind !== undefined)
    return true
  }

  /** Asks the gate that may rescue the call, once those further in have been settled. */
  private rescued(): boolean {
    const { answer, behind, rescuer } = this
    const { steps, waits } = this.row
    this.over = true
    this.settleNow(rescuer + 1, behind === undefined)
    if (behind !== undefined && waits) this.settleLater(behind, rescuer + 1)
    this.admitted = rescuer + 1
    this.rescuer = steps.length
    if (this.context.ending !== undefined) return false
    this.over = false
    this.answer = undefined
    let rescue: Promise<unknown> | undefined
    try {
      rescue = steps[rescuer]!.gate.rescue!(this, this.tickets[rescuer])
    } catch (error) {
      this.error = error
    }
    if (rescue !== undefined) this.follow(rescue)
    else if (this.over) this.leave(answer ?? soon)
    else this.answer = answer
    return this.over || rescue !== undefined
  }

  /** What `finish` does, where nothing has gone wrong and nothing goes on: of this there is the most. */
  private succeed(): void {
    this.over = true
    depart(this)
    const { steps } = this.row
    const now = this.outer.clock.now()
    for (let i = this.admitted - 1; i >= 0; i--) steps[i]!.tell(this.tickets[i], 'success', now, undefined)
  }

  /** The call has its answer. `working` when something goes on behind it. */
  private finish(outcome: Outcome, error: unknown, working: boolean): void {
    this.over = true
    this.outcome = outcome
    this.error = error
    this.waiting = working && this.row.waits
    depart(this)
    this.settleNow(0, !this.waiting)
    if (!working) return
    if (this.answer !== undefined) this.leave(this.answer)
    else if (this.begun && this.waiting) this.leave(this.task!.work)
  }

  /** Nobody waits for this any more, except gates that were let in until the work itself ends. */
  private leave(answer: Promise<unknown>): void {
    if (this.promise !== undefined) answeredEarly(this.promise, answer)
    if (this.waiting) this.settleLater(answer, 0)
    this.waiting = false
  }

  /** Settles the gates that were let in, from the innermost out to `first`: all, or those that do not wait for the work. */
  private settleNow(first: number, all: boolean): void {
    const { steps } = this.row
    const now = this.outer.clock.now()
    for (let i = this.admitted - 1; i >= first; i--) {
      if (all || !steps[i]!.late) this.settle(i, now, this.outcome, this.error)
    }
  }

  /** Settles those that wait for the work when that is done. */
  private settleLater(work: Promise<unknown>, first: number): void {
    const { admitted, outcome, error } = this
    const { steps } = this.row
    onceDone(work, () => {
      const now = this.outer.clock.now()
      for (let i = admitted - 1; i >= first; i--) {
        if (steps[i]!.late) this.settle(i, now, outcome, error)
      }
    })
  }

  private settle(i: number, now: number, outcome: Outcome, error: unknown): false {
    this.row.steps[i]!.tell(this.tickets[i], i < this.split ? outcomeOf(error) : outcome, now, error)
    return false
  }
}
