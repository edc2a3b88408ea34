import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import type { RetryBudget } from './budget.ts'
import { Latencies } from './latencies.ts'
import { budgetOption, type Idempotent, idempotentOption } from './retry-options.ts'

export interface HedgeOptions<Req = unknown> {
  /** How many attempts there are at most, the first included. @default 2 */
  readonly attempts?: number
  /**
   * How long to wait for an answer before the next attempt is made beside it.
   * @default the `quantile` of the latencies that were seen
   */
  readonly delayMs?: number
  /** The share of calls that are answered before the delay is over, from 0 to 1. @default 0.95 */
  readonly quantile?: number
  /** No delay is derived from fewer calls than this. @default 100 */
  readonly minSamples?: number
  /** How often the delay is derived anew. @default 10_000 */
  readonly periodMs?: number
  /**
   * Whether the call may be made twice. Others are let through as they are.
   * @default what the call's context says
   */
  readonly idempotent?: Idempotent<Req>
  /**
   * What bounds the further attempts of all calls together: the one that `retry` has for the same backend. `false`
   * for none.
   * @default a budget of its own: a tenth of the calls, and one a second
   */
  readonly budget?: RetryBudget | false
  /** An attempt that would have less time than this is not made. @default 1 */
  readonly minUsefulMs?: number
  /** Where the server asks for a longer wait than this, there is no further attempt. @default 60_000 */
  readonly maxHintMs?: number
  /** Names the policy in refusals and events. @default 'hedge' */
  readonly name?: string
}

export interface HedgeSettings {
  readonly attempts: number
  readonly delayMs: number | undefined
  /** Where no delay is given. */
  readonly latencies: Latencies | undefined
  readonly idempotent: Idempotent<any> | undefined
  readonly budget: RetryBudget | undefined
  readonly minUsefulMs: number
  readonly maxHintMs: number
  readonly name: string
}

const known = [
  'attempts',
  'delayMs',
  'quantile',
  'minSamples',
  'periodMs',
  'idempotent',
  'budget',
  'minUsefulMs',
  'maxHintMs',
  'name',
]

export function checkHedge(options: HedgeOptions<any>): HedgeSettings {
  knownOptions('hedge', options, known)
  const { delayMs } = options
  const quantile = numberOption('quantile', options.quantile ?? 0.95, { min: 0, max: 1 })
  const minSamples = numberOption('minSamples', options.minSamples ?? 100, { min: 1, integer: true })
  const periodMs = numberOption('periodMs', options.periodMs ?? 10_000, { min: 0, above: true })
  if (delayMs !== undefined) numberOption('delayMs', delayMs, { min: 0, infinite: true })
  return {
    attempts: numberOption('attempts', options.attempts ?? 2, { min: 1, max: 10, integer: true }),
    delayMs,
    latencies: delayMs === undefined ? new Latencies(quantile, minSamples, periodMs) : undefined,
    idempotent: idempotentOption(options.idempotent),
    budget: budgetOption(options.budget),
    minUsefulMs: numberOption('minUsefulMs', options.minUsefulMs ?? 1, { min: 0 }),
    maxHintMs: numberOption('maxHintMs', options.maxHintMs ?? 60_000, { min: 0, infinite: true }),
    name: nameOption('name', options.name ?? 'hedge'),
  }
}
