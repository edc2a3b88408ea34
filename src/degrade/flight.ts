import { callWithin } from '../core/ambient.ts'
import { passAnswerFields, separateAnswerFields } from '../core/answer-fields.ts'
import type { Context } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { cancelled, deadlineExceeded } from '../core/rejection.ts'
import { type Ending, Scope, type Watcher } from '../core/scope.ts'
import { answeredEarly } from '../core/work.ts'
import { attempt } from '../internal/settle-within.ts'

/**
 * One call made for several callers. It has a life of its own: its deadline is the latest of theirs, and it is
 * cancelled when the last of them has gone.
 */
export class Flight<Res> {
  readonly startedAt: number
  readonly context: Context
  private readonly policy: string
  private readonly scope: Scope
  private readonly over: (flight: Flight<Res>) => void
  private readonly answer: Promise<Res>
  private waiting: number
  private landed: boolean

  constructor(
    policy: string,
    request: unknown,
    first: Context,
    now: number,
    next: Handler<any, Res>,
    over: (flight: Flight<Res>) => void,
  ) {
    this.startedAt = now
    this.policy = policy
    this.scope = new Scope(
      first.clock,
      undefined,
      first.deadline,
      () => deadlineExceeded(policy, true),
      undefined,
    )
    // What is said about the answer is kept here and passed on to each caller; the first one's answer may be sent
    // before the flight lands.
    this.context = separateAnswerFields(first.within(this.scope))
    this.over = over
    this.waiting = 0
    this.landed = false
    this.answer = attempt(() => callWithin(this.context, next, request))
    const land = (): void => {
      this.landed = true
      this.scope.close()
      over(this)
    }
    this.answer.then(land, land)
  }

  get waiters(): number {
    return this.waiting
  }

  /** Adds a caller. It gets what the flight brings, unless it ends before that. */
  join(context: Context, copy: ((answer: Res) => Res) | undefined): Promise<Res> {
    this.waiting++
    this.scope.extend(context.deadline)
    const { scope } = context
    if (scope.ending !== undefined) {
      this.leave()
      return Promise.reject(scope.reason)
    }
    const answer = new Promise<Res>((resolve, reject) => {
      const watcher: Watcher = {
        nextWatcher: undefined,
        previousWatcher: undefined,
        scopeEnded: (_ending: Ending, reason: unknown) => {
          if (this.leave()) answeredEarly(answer, this.answer)
          reject(reason)
        },
      }
      if (!scope.endless) scope.watch(watcher)
      const done = (): boolean => {
        scope.unwatch(watcher)
        if (scope.ending !== undefined) return false
        this.waiting--
        passAnswerFields(this.context, context)
        return true
      }
      this.answer.then(
        value => {
          if (!done()) return
          try {
            resolve(copy === undefined ? value : copy(value))
          } catch (error) {
            reject(error)
          }
        },
        error => {
          if (done()) reject(error)
        },
      )
    })
    return answer
  }

  /** A caller goes. Says whether it was the last one, and the flight has been called off. */
  private leave(): boolean {
    if (--this.waiting > 0 || this.landed) return false
    this.over(this)
    this.scope.end('cancelled', cancelled(this.policy))
    return true
  }
}
