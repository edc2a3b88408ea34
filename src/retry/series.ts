import pRetry, { AbortError, type RetryContext } from 'p-retry'
import { adviceOf, isFinal } from '../core/advice.ts'
import type { FailedCall } from '../core/gate.ts'
import { deadlineExceeded } from '../core/rejection.ts'
import { answeredEarly, workBehind } from '../core/work.ts'
import { sleep } from '../internal/timer.ts'
import { endpointOf, triedEndpoints } from '../internal/tried.ts'
import { MAX_DELAY_MS } from './backoff.ts'
import { passUp } from './give-up.ts'
import { repeatable } from './repeatable.ts'
import { type GaveUpCause, gaveUp, retried } from './retry-event.ts'
import type { RetrySettings } from './retry-options.ts'

/**
 * The attempts of one call from its first failure on. p-retry counts them, calls the hooks and knows its AbortError;
 * whether there is to be another one, and the wait before it, are decided here, on the context's clock.
 *
 * The questions are asked in this order, and the first "no" ends the call with the error as it is, before any
 * waiting: is the call still wanted; has nobody below given up for good; can another attempt mend this kind of error;
 * may this call be repeated; are there attempts left; does the wait fit before the deadline; does the budget bear it.
 * From the fifth question on an attempt was wanted and cannot be had, and the error goes up marked as final.
 */
export class Series {
  private readonly settings: RetrySettings
  private readonly call: FailedCall
  /** When the attempts must be over, besides the call's own deadline. */
  private readonly endsAt: number
  /** What the latest attempt failed with. */
  private error: unknown
  /** How many attempts have been made. */
  private made: number
  /** Whether another attempt would be welcome after the latest failure. */
  private wanted: boolean
  /** Whether the next attempt has been allowed. */
  private granted: boolean
  private refused: boolean
  /** Failures since the server last set the wait itself. */
  private step: number
  private waitedMs: number
  private tried: Set<string> | undefined

  /** What still goes on of attempts that were given up before their handler came to an end. */
  private readonly works: Promise<unknown>[]
  /** The answer that the call waits for, once there is to be another attempt. */
  private answer: Promise<unknown> | undefined

  constructor(settings: RetrySettings, call: FailedCall, endsAt: number) {
    this.settings = settings
    this.call = call
    this.endsAt = endsAt
    this.made = 1
    this.error = undefined
    this.wanted = false
    this.granted = false
    this.refused = false
    this.step = 0
    this.waitedMs = 0
    this.tried = undefined
    this.works = []
    this.answer = undefined
    this.failed(call.error, call.behind)
  }

  run(): Promise<unknown> | undefined {
    const { shouldRetry, onFailedAttempt, shouldConsumeRetry } = this.settings
    let delayMs: number | undefined
    if (shouldRetry === undefined && onFailedAttempt === undefined && shouldConsumeRetry === undefined) {
      // Nobody else is to be asked: most failures under load end right here.
      delayMs = this.wanted ? this.grant(this.settings.attempts === 1) : -1
      if (delayMs < 0) {
        this.call.error = this.verdict()
        return undefined
      }
    }
    this.answer = this.drive(delayMs)
    return this.answer
  }

  /** `firstDelayMs`: the wait before the second attempt, where that has been granted already. */
  private async drive(firstDelayMs: number | undefined): Promise<unknown> {
    const { settings } = this
    let delayMs = firstDelayMs
    try {
      return await pRetry(attempt => (attempt === 1 ? this.replay() : this.attempt(attempt)), {
        retries: settings.attempts - 1,
        // The waiting is done in `shouldRetry`, after the last question: p-retry knows no clock but its own.
        minTimeout: 0,
        onFailedAttempt: failed => this.ask(settings.onFailedAttempt, failed),
        shouldConsumeRetry: async failed => (await this.ask(settings.shouldConsumeRetry, failed)) ?? true,
        shouldRetry: async failed => {
          delayMs ??= await this.decide(failed)
          if (delayMs < 0) return false
          const ms = delayMs
          delayMs = undefined
          this.granted = true
          if (ms > 0) await this.wait(ms)
          return true
        },
      })
    } catch (error) {
      // Anything else is what ended the wait, or came out of a hook.
      const ours = error === this.presented() || !(this.error instanceof Error) || isAbort(this.error)
      throw this.leave(ours ? this.verdict() : error)
    }
  }

  private async wait(ms: number): Promise<void> {
    const { context } = this.call
    await sleep(context, ms, { keepAlive: this.settings.keepAlive })
    // In a process that stood still the wait and the call come to their ends at one and the same moment.
    if (!context.ended) return
    const { ending, reason } = context.scope
    throw ending === undefined ? deadlineExceeded(this.settings.name, true) : reason
  }

  /** Asks a hook of the user's. One that throws ends the attempts, and is not a sign that another was wanted. */
  private async ask<T>(
    hook: ((failed: RetryContext) => T | Promise<T>) | undefined,
    failed: RetryContext,
  ): Promise<T | undefined> {
    try {
      return await hook?.(failed.error === disguise ? { ...failed, error: this.error as Error } : failed)
    } catch (error) {
      this.wanted = false
      throw error
    }
  }

  private replay(): never {
    throw this.presented()
  }

  private async attempt(attempt: number): Promise<unknown> {
    // p-retry repeats a TypeError that `shouldConsumeRetry` does not count without asking anybody.
    if (!this.granted) throw new AbortError(this.error as Error)
    this.granted = false
    this.made = attempt
    const within = this.call.context.with({ attempt }).with(triedEndpoints, this.tried)
    let answer: Promise<unknown> | undefined
    try {
      answer = this.call.again(within)
      return await answer
    } catch (error) {
      const work = answer === undefined ? undefined : workBehind(answer)
      this.failed(error, work === answer ? undefined : work)
      throw this.presented()
    }
  }

  private failed(error: unknown, behind: Promise<unknown> | undefined): void {
    if (behind !== undefined) this.works.push(behind)
    this.error = error
    // It may throw out of a rule of the user's, and then another attempt is not wanted.
    this.wanted = false
    this.wanted = this.wants(error)
    const endpoint = endpointOf(error)
    if (endpoint !== undefined) {
      this.tried ??= new Set()
      this.tried.add(endpoint)
    }
    if (this.wanted || isFinal(error)) this.settings.budget?.failed()
  }

  /** The questions about the call itself. */
  private wants(error: unknown): boolean {
    if (this.call.context.ended || isAbort(error) || isFinal(error)) return false
    const may = repeatable(error)
    if (may === 'yes') return true
    // A hook that decides which errors are worth it takes the place of the kit's own opinion.
    if (may === 'no' && (this.settings.shouldRetry === undefined || !isForHook(error))) return false
    return this.idempotent()
  }

  private idempotent(): boolean {
    const { idempotent } = this.settings
    const { request, context } = this.call
    if (idempotent === undefined) return context.idempotent
    return typeof idempotent === 'boolean' ? idempotent : idempotent(request, context)
  }

  private async decide(failed: RetryContext): Promise<number> {
    if (!this.wanted) return -1
    const { shouldRetry } = this.settings
    if (shouldRetry !== undefined) this.wanted = (await this.ask(shouldRetry, failed)) === true
    return this.wanted ? this.grant(false) : -1
  }

  /** The questions about everything around the call. The wait before the next attempt, or -1 for none. */
  private grant(usedUp: boolean): number {
    if (usedUp) return this.refuse('attempts')
    const { settings } = this
    const delayMs = this.delay()
    if (!(delayMs >= 0 && delayMs < Infinity)) {
      return this.refuse(adviceOf(this.error)?.retryAfterMs === undefined ? 'backoff' : 'hint')
    }
    const { endsAt } = this
    const { context } = this.call
    const now = context.clock.now()
    if (now + delayMs + settings.minUsefulMs > Math.min(endsAt, context.deadline))
      return this.refuse('deadline')
    if (settings.budget !== undefined && !settings.budget.withdraw(now)) return this.refuse('budget')
    this.waitedMs = delayMs
    if (retried.active) {
      retried.emit({ policy: settings.name, attempt: this.made + 1, delayMs, error: this.error })
    }
    return delayMs
  }

  /** What the server asks for, or else what the backoff says; not a finite number from 0 up for no attempt at all. */
  private delay(): number {
    const { settings } = this
    const advice = adviceOf(this.error)
    if (advice?.retryAfterMs !== undefined) {
      this.step = 0
      return advice.retryAfterMs <= settings.maxHintMs ? advice.retryAfterMs : Infinity
    }
    this.step++
    const backoff = advice?.retry === 'later' ? settings.overloadBackoff : settings.backoff
    const ms = backoff(this.step, this.step === 1 ? 0 : this.waitedMs, settings.random)
    return ms === Infinity ? ms : Math.min(ms, MAX_DELAY_MS)
  }

  private refuse(cause: GaveUpCause): number {
    this.refused = true
    if (gaveUp.active) {
      gaveUp.emit({ policy: this.settings.name, attempts: this.made, cause, error: this.error })
    }
    return -1
  }

  /** The call fails with this error. */
  private leave(error: unknown): unknown {
    if (this.works.length > 0) answeredEarly(this.answer!, Promise.allSettled(this.works))
    return error
  }

  /** The error to pass up when the questions, or p-retry, have said no. */
  private verdict(): unknown {
    const { error, made, wanted, settings } = this
    if (isAbort(error)) return passUp(error.originalError, made, true, settings.name)
    // p-retry does not ask about an attempt more than there are.
    if (wanted && !this.refused) this.refuse('attempts')
    return passUp(error, made, wanted, settings.name)
  }

  /** p-retry never repeats a TypeError unless it knows the message; one that is worth repeating is shown to it as another. */
  private presented(): unknown {
    if (!(this.error instanceof TypeError) || repeatable(this.error) === 'no') return this.error
    return disguise
  }
}

const disguise: Error = Object.create(Error.prototype)

/** An AbortError of p-retry, of any installed copy: the word of the caller's own code that no attempt will help. */
function isAbort(error: unknown): error is AbortError {
  return error instanceof Error && error.name === 'AbortError' && 'originalError' in error
}

/** p-retry does not ask its hook about a TypeError. */
function isForHook(error: unknown): boolean {
  return error instanceof Error && !(error instanceof TypeError)
}
