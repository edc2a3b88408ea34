import { AsyncResource } from 'node:async_hooks'
import { adviceOf, isFinal } from '../core/advice.ts'
import { callWithin } from '../core/ambient.ts'
import { type Context, type OpenContext, openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { cancelled } from '../core/rejection.ts'
import type { Ending, Watcher } from '../core/scope.ts'
import { answeredEarly, workBehind } from '../core/work.ts'
import { after } from '../internal/timer.ts'
import { triedEndpoints } from '../internal/tried.ts'
import { passUp } from './give-up.ts'
import type { HedgeSettings } from './hedge-options.ts'
import { repeatable } from './repeatable.ts'
import { type GaveUpCause, gaveUp, retried } from './retry-event.ts'

/**
 * Of a first attempt that lost, only that it would have taken longer is known. Taken for no longer than it took until
 * then, a delay that has come out too short would hardly grow again: with latencies of a long tail it stays
 * for a dozen periods where 7 to 9 % of the calls are hedged instead of 5. One that comes out too long is put right
 * by the next period, in which fewer attempts lose.
 */
const LOST = 1.5

interface Attempt {
  readonly number: number
  readonly open: OpenContext
  readonly startedAt: number
  readonly answer: Promise<unknown>
}

/**
 * The attempts of one hedged call, of which the first to succeed is the answer.
 *
 * The next attempt starts when the delay is over, or at once when one fails in a way that another may mend, or after
 * the wait that the server asks for; always only if the budget bears it. An error that no other attempt can mend
 * ends the call. An attempt whose server wants no more of them lets those that are out go on, and starts none (A6).
 * When all have failed, the error is that of the first.
 *
 * Whichever way it ends, the attempts that are still out are cancelled through contexts of their own, so that
 * breakers further in take them for calls that nobody waits for, and not for failures.
 */
export class Race<Req, Res> implements Watcher {
  private readonly settings: HedgeSettings
  private readonly next: Handler<Req, Res>
  private readonly request: Req
  private readonly context: Context
  private readonly delayMs: number
  /** A timer belongs to nobody: what code finds in an AsyncLocalStorage must come from whoever made the call. */
  private readonly caller: AsyncResource
  private readonly out: Set<Attempt>
  private started: number
  private over: boolean
  /** Whether there may be further attempts. */
  private closed: boolean
  private refusal: GaveUpCause | undefined
  /** Whether a server has asked for no more attempts. */
  private stopped: boolean
  private firstError: unknown
  private disarm: (() => void) | undefined
  private promise: Promise<Res> | undefined
  private resolve: ((value: Res) => void) | undefined
  private reject: ((error: unknown) => void) | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    settings: HedgeSettings,
    next: Handler<Req, Res>,
    request: Req,
    context: Context,
    delayMs: number,
  ) {
    this.settings = settings
    this.next = next
    this.request = request
    this.context = context.with(triedEndpoints, new Set())
    this.delayMs = delayMs
    this.caller = new AsyncResource('spillway.hedge')
    this.out = new Set()
    this.started = 0
    this.over = false
    this.closed = false
    this.refusal = undefined
    this.stopped = false
    this.firstError = undefined
    this.disarm = undefined
    this.promise = undefined
    this.resolve = undefined
    this.reject = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  run(): Promise<Res> {
    const promise = new Promise<Res>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise = promise
    const { scope } = this.context
    if (scope.ending !== undefined) {
      this.over = true
      this.reject!(scope.reason)
      return promise
    }
    if (!scope.endless) scope.watch(this)
    this.start()
    this.waitForDelay()
    return promise
  }

  /** The call itself has ended. The attempts end with it, each as part of it. */
  scopeEnded(ending: Ending, reason: unknown): void {
    if (this.finish(ending === 'timeout')) this.reject!(reason)
  }

  private start(): void {
    const number = ++this.started
    const open = openContext({ parent: this.context, attempt: number })
    const startedAt = this.now()
    let answer: Promise<Res>
    try {
      answer = Promise.resolve(callWithin(open.context, this.next, this.request))
    } catch (error) {
      answer = Promise.reject(error)
    }
    const attempt: Attempt = { number, open, startedAt, answer }
    if (this.over) this.leave(attempt)
    else this.out.add(attempt)
    answer.then(
      value => this.succeeded(attempt, value),
      error => this.failed(attempt, error),
    )
  }

  private succeeded(attempt: Attempt, value: Res): void {
    if (!this.out.delete(attempt)) return
    attempt.open.close()
    if (attempt.number === 1) this.record(attempt, 1)
    this.settings.budget?.succeeded()
    this.finish(true)
    this.resolve!(value)
  }

  private failed(attempt: Attempt, error: unknown): void {
    if (!this.out.delete(attempt)) return
    attempt.open.close()
    if (attempt.number === 1) this.firstError = error
    const final = isFinal(error)
    const may = repeatable(error) !== 'no'
    if (may || final) this.settings.budget?.failed()
    if (!may && !final) {
      this.finish(false)
      this.reject!(passUp(error, this.started, false, this.settings.name))
      return
    }
    if (final) this.stop()
    else this.goOn(error)
    this.checkAllFailed()
  }

  /** An attempt has failed: the next one need not wait for the rest of the delay, except as the server says. */
  private goOn(error: unknown): void {
    const hintMs = adviceOf(error)?.retryAfterMs
    if (hintMs === undefined) this.startNext(error, 0)
    else if (hintMs >= 0 && hintMs <= this.settings.maxHintMs) this.arm(hintMs, error)
    else this.refuse('hint')
  }

  private waitForDelay(): void {
    const { delayMs } = this
    if (!this.over && delayMs < Infinity && this.obstacle(delayMs) === undefined) this.arm(delayMs, undefined)
  }

  /** Starts the next attempt after `ms`, in place of whatever was waited for. */
  private arm(ms: number, error: unknown): void {
    this.stopWaiting()
    if (this.closed) return
    const obstacle = this.obstacle(ms)
    if (obstacle !== undefined) this.refuse(obstacle)
    else {
      this.disarm = after(this.context.clock, ms, () => {
        this.disarm = undefined
        this.caller.runInAsyncScope(() => this.startNext(error, ms))
        this.checkAllFailed()
      })
    }
  }

  private startNext(error: unknown, delayMs: number): void {
    this.stopWaiting()
    if (this.closed) return
    const { settings } = this
    const obstacle =
      this.obstacle(0) ?? (settings.budget?.withdraw(this.now()) === false ? 'budget' : undefined)
    if (obstacle !== undefined) this.refuse(obstacle)
    else {
      const attempt = this.started + 1
      if (retried.active) retried.emit({ policy: settings.name, attempt, delayMs, error })
      // Whoever listens may have ended the call.
      if (this.over) return
      this.start()
      this.waitForDelay()
    }
  }

  /** What stands in the way of an attempt `ms` from now. */
  private obstacle(ms: number): GaveUpCause | undefined {
    const { attempts, minUsefulMs } = this.settings
    if (this.started >= attempts) return 'attempts'
    return this.now() + ms + minUsefulMs > this.context.deadline ? 'deadline' : undefined
  }

  private refuse(cause: GaveUpCause): void {
    this.stopWaiting()
    this.closed = true
    this.refusal ??= cause
  }

  private stop(): void {
    this.stopWaiting()
    this.closed = true
    this.stopped = true
  }

  private checkAllFailed(): void {
    if (this.out.size > 0 || this.disarm !== undefined || !this.finish(false)) return
    const { firstError, started, settings } = this
    if (!this.stopped && gaveUp.active) {
      const cause = this.refusal ?? 'attempts'
      gaveUp.emit({ policy: settings.name, attempts: started, cause, error: firstError })
    }
    this.reject!(passUp(firstError, started, true, settings.name))
  }

  /** Ends the race, once: nothing is started any more, and whoever is still out is cancelled. */
  private finish(recordLost: boolean): boolean {
    if (this.over) return false
    this.over = true
    this.closed = true
    this.stopWaiting()
    const { scope } = this.context
    if (!scope.endless) scope.unwatch(this)
    for (const attempt of this.out) {
      if (recordLost && attempt.number === 1) this.record(attempt, LOST)
      this.leave(attempt)
    }
    this.out.clear()
    return true
  }

  /** Nobody waits for this attempt any more. */
  private leave({ open, answer }: Attempt): void {
    open.cancel(cancelled(this.settings.name))
    open.close()
    answeredEarly(this.promise!, workBehind(answer))
  }

  private record({ startedAt }: Attempt, factor: number): void {
    const now = this.now()
    this.settings.latencies?.record((now - startedAt) * factor, now)
  }

  private stopWaiting(): void {
    this.disarm?.()
    this.disarm = undefined
  }

  private now(): number {
    return this.context.clock.now()
  }
}
