import { isFinal } from '../core/advice.ts'
import { gate } from '../core/chain.ts'
import { type Context, openContext } from '../core/context.ts'
import type { FailedCall, Gate, Outcome } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import type { RetryBudget } from './budget.ts'
import { checkRetry, type RetryOptions, type RetrySettings } from './retry-options.ts'
import { Series } from './series.ts'

/**
 * Tries again, carefully: what may be repeated, when there is time left for it, as far as the backend's budget goes,
 * after a random wait, and never what a layer further in has given up on. Stands inside the total deadline and
 * outside everything that is about one attempt.
 */
export function retry<Req = unknown>(options: RetryOptions<Req> = {}): Protection<Req> {
  return gate<Req, number>(new RetryGate(checkRetry(options)))
}

/** A first attempt costs no more than any gate. */
class RetryGate implements Gate<any, number> {
  readonly kind = 'retry'
  readonly name: string
  readonly narrow?: (context: Context) => Context
  readonly settle?: (startedAt: number, outcome: Outcome) => void
  private readonly settings: RetrySettings
  private readonly budget: RetryBudget | undefined

  constructor(settings: RetrySettings) {
    const { name, signal, budget } = settings
    this.name = name
    this.settings = settings
    this.budget = budget
    // The option of p-retry: ends every call that is being made when it aborts.
    if (signal !== undefined) this.narrow = parent => openContext({ parent, signal }).context
    if (budget?.countsSuccesses) {
      this.settle = (_startedAt, outcome) => {
        if (outcome === 'success') budget.succeeded()
      }
    }
  }

  admit(_request: unknown, _context: Context, now: number): number {
    this.budget?.deposit(now, 1)
    return now
  }

  rescue(call: FailedCall, startedAt: number): Promise<unknown> | undefined {
    const { budget, maxRetryTime, onFailedAttempt } = this.settings
    // What was refused for good further in is passed up without another look: in an outage most calls are.
    if (onFailedAttempt === undefined && call.behind === undefined && isFinal(call.error)) {
      budget?.failed()
      return undefined
    }
    return new Series(this.settings, call, startedAt + maxRetryTime).run()
  }
}
