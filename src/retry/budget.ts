import type { Mechanism } from '../core/mechanism.ts'
import { register } from '../core/mechanism.ts'
import { RatioBudget, type RatioBudgetOptions } from './ratio-budget.ts'
import { TokenBudget, type TokenBudgetOptions } from './token-budget.ts'

/**
 * How many further attempts a backend can be asked to bear. One budget belongs to one backend, and every `retry` and
 * `hedge` in front of it shares it, each call passing one of them: one that passes two counts twice.
 */
export interface RetryBudget<Options = any, Snapshot extends object = object>
  extends Mechanism<Options, Snapshot> {
  /** Whether it wants to hear of successes. */
  readonly countsSuccesses: boolean
  /** So many calls have been made for the first time. */
  deposit(now: number, calls: number): void
  /** An attempt succeeded. */
  succeeded(): void
  /** An attempt failed in a way that another attempt may mend, or the server asked for no more. */
  failed(): void
  /** Takes what one further attempt costs; refuses, and changes nothing, when there is not enough. */
  withdraw(now: number): boolean
}

/**
 * A budget for retries and hedges. Either a share of the calls, with a few on top for those who make few calls:
 * `retryBudget({ ratio: 0.1, minPerSecond: 1 })`, which is the default; or the token count of gRPC's retry
 * throttling: `retryBudget({ maxTokens: 100, tokenRatio: 0.1 })`.
 */
export function retryBudget(options?: RatioBudgetOptions): RatioBudget
export function retryBudget(options: TokenBudgetOptions): TokenBudget
export function retryBudget(
  options: RatioBudgetOptions | TokenBudgetOptions = {},
): RatioBudget | TokenBudget {
  const made = countsTokens(options) ? new TokenBudget(options) : new RatioBudget(options)
  return options.name === undefined ? made : register(made)
}

function countsTokens(options: RatioBudgetOptions | TokenBudgetOptions): options is TokenBudgetOptions {
  // What is no object at all is for the other to refuse.
  return Object(options) === options && 'maxTokens' in options
}
