/**
 * How long to wait before the next attempt. A backoff is a pure function, so that it can be tried out, combined and
 * drawn; `Infinity` from it means that there is to be no next attempt.
 *
 *   exponential   min(maxMs, baseMs * factor ^ (attempt - 1))
 *   full jitter   random() * exponential
 *   equal jitter  exponential / 2 + random() * exponential / 2
 *   decorrelated  min(maxMs, baseMs + random() * (3 * max(baseMs, previous) - baseMs))
 *
 * Full jitter is the default of `retry`: of these it does the least work for the same contention (Brooker,
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Without jitter, all clients that failed together
 * come back together.
 */
import { functionOption, knownOptions, numberOption } from '../core/options.ts'

/** `attempt` is the number of the attempt that failed, from 1; `previousMs` what was waited before it, 0 at first. */
export type Backoff = (attempt: number, previousMs: number, random: () => number) => number

export interface ExponentialOptions {
  /** The wait after the first attempt. @default 50 */
  readonly baseMs?: number
  /** The longest wait. @default 10_000 */
  readonly maxMs?: number
  /** How much longer after each further attempt. @default 2 */
  readonly factor?: number
}

export interface DecorrelatedOptions {
  /** The shortest wait. @default 50 */
  readonly baseMs?: number
  /** The longest wait. @default 10_000 */
  readonly maxMs?: number
}

/** What a timer can wait: one that is told to wait longer fires at once. */
export const MAX_DELAY_MS: number = 2 ** 31 - 1

function exponential(options: ExponentialOptions = {}): Backoff {
  knownOptions('backoff.exponential', options, ['baseMs', 'maxMs', 'factor'])
  const baseMs = numberOption('baseMs', options.baseMs ?? 50, { min: 0 })
  const maxMs = numberOption('maxMs', options.maxMs ?? 10_000, { min: 0 })
  const factor = numberOption('factor', options.factor ?? 2, { min: 1 })
  return attempt => (baseMs === 0 ? 0 : Math.min(maxMs, baseMs * factor ** (attempt - 1)))
}

function fullJitter(options: ExponentialOptions = {}): Backoff {
  const full = exponential(options)
  return (attempt, previousMs, random) => random() * full(attempt, previousMs, random)
}

function equalJitter(options: ExponentialOptions = {}): Backoff {
  const full = exponential(options)
  return (attempt, previousMs, random) => {
    const half = full(attempt, previousMs, random) / 2
    return half + random() * half
  }
}

function decorrelated(options: DecorrelatedOptions = {}): Backoff {
  knownOptions('backoff.decorrelated', options, ['baseMs', 'maxMs'])
  const baseMs = numberOption('baseMs', options.baseMs ?? 50, { min: 0 })
  const maxMs = numberOption('maxMs', options.maxMs ?? 10_000, { min: 0 })
  return (_attempt, previousMs, random) => {
    const top = 3 * Math.max(baseMs, previousMs)
    return Math.min(maxMs, baseMs + random() * (top - baseMs))
  }
}

function constant(ms: number): Backoff {
  numberOption('ms', ms, { min: 0 })
  return () => ms
}

/** `inner` spread by `ratio` up and down: 0.2 is what gRPC does. */
function spread(ratio: number, inner: Backoff): Backoff {
  numberOption('ratio', ratio, { min: 0, max: 1 })
  functionOption('inner', inner)
  return (attempt, previousMs, random) =>
    inner(attempt, previousMs, random) * (1 + ratio * (2 * random() - 1))
}

/** The longest wait of several; no further attempt once one of them wants none. */
function longest(...inner: readonly Backoff[]): Backoff {
  for (const backoff of inner) functionOption('inner', backoff)
  return (attempt, previousMs, random) =>
    inner.reduce((ms, backoff) => Math.max(ms, backoff(attempt, previousMs, random)), 0)
}

/** The shortest wait of several; attempts as long as one of them wants any. */
function shortest(...inner: readonly Backoff[]): Backoff {
  for (const backoff of inner) functionOption('inner', backoff)
  return (attempt, previousMs, random) =>
    inner.reduce((ms, backoff) => Math.min(ms, backoff(attempt, previousMs, random)), Infinity)
}

/** `first` for so many attempts, and then `second`, which starts counting anew. */
function sequence(first: Backoff, attempts: number, second: Backoff): Backoff {
  functionOption('first', first)
  numberOption('attempts', attempts, { min: 0, integer: true })
  functionOption('second', second)
  return (attempt, previousMs, random) =>
    attempt <= attempts
      ? first(attempt, previousMs, random)
      : second(attempt - attempts, attempt === attempts + 1 ? 0 : previousMs, random)
}

/** No attempt more: the end of a sequence. */
const stop: Backoff = () => Infinity

export const backoff: {
  readonly exponential: (options?: ExponentialOptions) => Backoff
  readonly fullJitter: (options?: ExponentialOptions) => Backoff
  readonly equalJitter: (options?: ExponentialOptions) => Backoff
  readonly decorrelated: (options?: DecorrelatedOptions) => Backoff
  readonly constant: (ms: number) => Backoff
  readonly spread: (ratio: number, inner: Backoff) => Backoff
  readonly longest: (...inner: readonly Backoff[]) => Backoff
  readonly shortest: (...inner: readonly Backoff[]) => Backoff
  readonly sequence: (first: Backoff, attempts: number, second: Backoff) => Backoff
  readonly stop: Backoff
} = {
  exponential,
  fullJitter,
  equalJitter,
  decorrelated,
  constant,
  spread,
  longest,
  shortest,
  sequence,
  stop,
}
