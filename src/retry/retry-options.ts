import type { Options as PRetryOptions } from 'p-retry'
import type { Context } from '../core/context.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { type Backoff, backoff, MAX_DELAY_MS } from './backoff.ts'
import { type RetryBudget, retryBudget } from './budget.ts'

/** Whether a call may be made twice: always, never, or as its request and context say. */
export type Idempotent<Req = unknown> = boolean | ((request: Req, context: Context) => boolean)

/**
 * How to retry. The options of p-retry are taken as well, so that code which used it moves over with its settings:
 * `minTimeout`, `maxTimeout`, `factor` and `randomize` make a backoff in its manner, `retries` is one less than
 * `attempts`, and its hooks are called as it calls them.
 */
export interface RetryOptions<Req = unknown> extends PRetryOptions {
  /** How often the call is made at most, the first time included. @default 3 */
  readonly attempts?: number
  /**
   * Whether the call may be made twice. One that may not is repeated only when it certainly never began.
   * @default what the call's context says
   */
  readonly idempotent?: Idempotent<Req>
  /**
   * What bounds the further attempts of all calls together; share one among everything that calls the same backend.
   * `false` for none, at the risk of a storm.
   * @default a budget of its own: a tenth of the calls, and one a second
   */
  readonly budget?: RetryBudget | false
  /** How long to wait before the next attempt, where the server does not say. @default full jitter from 50 ms up to 10 s */
  readonly backoff?: Backoff
  /** The same after being told that too much was asked. @default full jitter from 1 s up to 20 s */
  readonly overloadBackoff?: Backoff
  /** An attempt that would have less time than this is not made. @default 1 */
  readonly minUsefulMs?: number
  /** Where the server asks for a longer wait than this, the call gives up instead. @default 60_000 */
  readonly maxHintMs?: number
  /** Names the policy in refusals and events. @default 'retry' */
  readonly name?: string
  /** @default Math.random */
  readonly random?: () => number
}

export interface RetrySettings {
  readonly attempts: number
  readonly idempotent: Idempotent<any> | undefined
  readonly budget: RetryBudget | undefined
  readonly backoff: Backoff
  readonly overloadBackoff: Backoff
  readonly minUsefulMs: number
  readonly maxHintMs: number
  readonly maxRetryTime: number
  readonly keepAlive: boolean
  readonly signal: AbortSignal | undefined
  readonly onFailedAttempt: PRetryOptions['onFailedAttempt']
  readonly shouldRetry: PRetryOptions['shouldRetry']
  readonly shouldConsumeRetry: PRetryOptions['shouldConsumeRetry']
  readonly name: string
  readonly random: () => number
}

const own = [
  'attempts',
  'idempotent',
  'budget',
  'backoff',
  'overloadBackoff',
  'minUsefulMs',
  'maxHintMs',
  'name',
  'random',
]
const waits = ['factor', 'minTimeout', 'maxTimeout', 'randomize'] as const
const ofPRetry = [
  ...waits,
  'retries',
  'maxRetryTime',
  'signal',
  'unref',
  'onFailedAttempt',
  'shouldRetry',
  'shouldConsumeRetry',
]

export function checkRetry(options: RetryOptions<any>): RetrySettings {
  knownOptions('retry', options, [...own, ...ofPRetry])
  for (const hook of ['onFailedAttempt', 'shouldRetry', 'shouldConsumeRetry', 'random'] as const) {
    if (options[hook] !== undefined) functionOption(hook, options[hook])
  }
  const waitsAsPRetry = waits.some(name => options[name] !== undefined)
  if (waitsAsPRetry && options.backoff !== undefined) {
    throw new TypeError('Expected either `backoff` or the waits of p-retry, got both')
  }
  const ownWaits = waitsAsPRetry ? pRetryWaits(options) : undefined
  return {
    attempts: attemptsOption(options),
    idempotent: idempotentOption(options.idempotent),
    budget: budgetOption(options.budget),
    backoff: ownWaits ?? functionOption('backoff', options.backoff ?? backoff.fullJitter()),
    overloadBackoff: functionOption(
      'overloadBackoff',
      options.overloadBackoff ?? ownWaits ?? backoff.fullJitter({ baseMs: 1_000, maxMs: 20_000 }),
    ),
    minUsefulMs: numberOption('minUsefulMs', options.minUsefulMs ?? 1, { min: 0 }),
    maxHintMs: numberOption('maxHintMs', options.maxHintMs ?? 60_000, { min: 0, infinite: true }),
    maxRetryTime: numberOption('maxRetryTime', options.maxRetryTime ?? Infinity, { min: 0, infinite: true }),
    keepAlive: options.unref !== true,
    signal: options.signal ?? undefined,
    onFailedAttempt: options.onFailedAttempt,
    shouldRetry: options.shouldRetry,
    shouldConsumeRetry: options.shouldConsumeRetry,
    name: nameOption('name', options.name ?? 'retry'),
    random: options.random ?? Math.random,
  }
}

export function idempotentOption<Req>(idempotent: Idempotent<Req> | undefined): Idempotent<Req> | undefined {
  if (idempotent === undefined || typeof idempotent === 'boolean') return idempotent
  return functionOption('idempotent', idempotent)
}

export function budgetOption(budget: RetryBudget | false | undefined): RetryBudget | undefined {
  if (budget === false) return undefined
  if (budget === undefined) return retryBudget()
  functionOption('budget.withdraw', budget.withdraw)
  return budget
}

function attemptsOption({ attempts, retries }: RetryOptions): number {
  const bounds = { integer: true, infinite: true }
  if (retries === undefined) return numberOption('attempts', attempts ?? 3, { min: 1, ...bounds })
  if (attempts !== undefined) throw new TypeError('Expected either `attempts` or `retries`, got both')
  return numberOption('retries', retries, { min: 0, ...bounds }) + 1
}

/** min(maxTimeout, round(minTimeout * factor ^ (attempt - 1))), times 1 to 2 if `randomize`: the waits of p-retry. */
function pRetryWaits(options: PRetryOptions): Backoff {
  const minTimeout = numberOption('minTimeout', options.minTimeout ?? 1_000, { min: 0 })
  const maxTimeout = numberOption('maxTimeout', options.maxTimeout ?? Infinity, { min: 0, infinite: true })
  const factor = numberOption('factor', options.factor ?? 2, { min: 0 }) || 1
  const randomize = options.randomize === true
  return (attempt, _previousMs, random) => {
    const spread = randomize ? 1 + random() : 1
    const ms = Math.round(spread * minTimeout * factor ** (attempt - 1))
    return Math.min(maxTimeout, ms, MAX_DELAY_MS)
  }
}
