import { callWithin } from '../core/ambient.ts'
import { separateAnswerFields } from '../core/answer-fields.ts'
import type { Context } from '../core/context.ts'
import { deadlineExceeded } from '../core/rejection.ts'
import { Scope } from '../core/scope.ts'
import { attempt, settleWithin } from '../internal/settle-within.ts'

/**
 * Work in the background that nobody waits for: at most one piece for each key and `limit` in all, each with a time
 * of its own, outside its caller's deadline and not called off with it.
 */
export class Refresher {
  private readonly policy: string
  private readonly limit: number
  private readonly running: Set<string>

  constructor(policy: string, limit: number) {
    this.policy = policy
    this.limit = limit
    this.running = new Set()
  }

  /** How many pieces of work are going on. */
  get active(): number {
    return this.running.size
  }

  /** Begins `work`, unless some is going on for `key` or there is too much of it already. Failures are dropped. */
  run(
    key: string,
    caller: Context,
    timeoutMs: number,
    work: (context: Context) => Promise<unknown>,
  ): boolean {
    if (this.running.has(key) || this.running.size >= this.limit) return false
    this.running.add(key)
    const { clock } = caller
    const expiry = () => deadlineExceeded(this.policy, true, `after ${timeoutMs} ms in the background`)
    const scope = new Scope(clock, undefined, clock.now() + timeoutMs, expiry, undefined)
    // What it says about an answer is about nobody's.
    const context = separateAnswerFields(caller.within(scope))
    const done = (): void => {
      this.running.delete(key)
      scope.close()
    }
    settleWithin(
      context,
      attempt(() => callWithin(context, (_request: undefined, own: Context) => work(own), undefined)),
    ).then(done, done)
    return true
  }
}
