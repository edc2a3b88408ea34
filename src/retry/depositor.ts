import type { Context } from '../core/context.ts'
import type { RetryBudget } from './budget.ts'

/** Calls that may be counted late: a reading of the clock for each would cost more than the rest of the layer. */
const BATCH = 16

/**
 * Deposits first attempts in a budget, several at a time and before every withdrawal. So at most `BATCH - 1` of
 * them are taken for younger than they are.
 */
export class Depositor {
  private readonly budget: RetryBudget | undefined
  private pending: number

  constructor(budget: RetryBudget | undefined) {
    this.budget = budget
    this.pending = 0
  }

  count(context: Context): void {
    if (++this.pending >= BATCH) this.flush(context)
  }

  flush(context: Context): void {
    this.budget?.deposit(context.clock.now(), this.pending)
    this.pending = 0
  }
}
