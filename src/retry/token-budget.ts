/**
 * The retry throttling of gRPC (gRFC A6).
 *
 *   tokens start at maxTokens; a failure takes 1, a success gives tokenRatio; 0 <= tokens <= maxTokens
 *   a further attempt is allowed while tokens > maxTokens / 2, and takes nothing itself
 *
 * There is no time in it: it moves with results alone, so that a backend which fails every call gets maxTokens / 2
 * further attempts and then none until calls succeed again.
 */
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import type { RetryBudget } from './budget.ts'

export interface TokenBudgetOptions {
  readonly maxTokens: number
  /** What a success gives; decimal places beyond three are ignored. @default 0.1 */
  readonly tokenRatio?: number
  /** One with a name is listed by `inspect()`. @default 'retry-budget' */
  readonly name?: string
}

export interface TokenBudgetSnapshot {
  readonly tokens: number
  /** Since the last reset: calls, further attempts, and those that were refused. */
  readonly calls: number
  readonly withdrawn: number
  readonly refused: number
}

/** Tokens are counted in thousandths, as whole numbers. */
const ONE = 1_000

export class TokenBudget implements RetryBudget<TokenBudgetOptions, TokenBudgetSnapshot> {
  readonly kind = 'retry-budget'
  readonly name: string
  readonly countsSuccesses = true
  private max: number
  private gain: number
  private tokens: number
  private calls: number
  private withdrawn: number
  private refused: number

  /** @internal Use `retryBudget`. */
  constructor(options: TokenBudgetOptions) {
    knownOptions('retryBudget', options, ['maxTokens', 'tokenRatio', 'name'])
    this.name = nameOption('name', options.name ?? 'retry-budget')
    this.max = maxOption(options.maxTokens)
    this.gain = gainOption(options.tokenRatio ?? 0.1)
    this.tokens = this.max
    this.calls = 0
    this.withdrawn = 0
    this.refused = 0
  }

  deposit(_now: number, calls: number): void {
    this.calls += calls
  }

  succeeded(): void {
    this.tokens = Math.min(this.max, this.tokens + this.gain)
  }

  failed(): void {
    this.tokens = Math.max(0, this.tokens - ONE)
  }

  withdraw(_now: number): boolean {
    const allowed = this.tokens > this.max / 2
    if (allowed) this.withdrawn++
    else this.refused++
    return allowed
  }

  /** Takes effect at once; the tokens that are there stay, up to the new maximum. */
  update(options: Partial<TokenBudgetOptions>): void {
    knownOptions('retryBudget.update', options, ['maxTokens', 'tokenRatio'])
    const max = maxOption(options.maxTokens ?? this.max / ONE)
    const gain = gainOption(options.tokenRatio ?? this.gain / ONE)
    this.max = max
    this.gain = gain
    this.tokens = Math.min(this.tokens, max)
    announceSettings(this, options)
  }

  snapshot(): TokenBudgetSnapshot {
    const { calls, withdrawn, refused } = this
    return { tokens: this.tokens / ONE, calls, withdrawn, refused }
  }

  reset(): void {
    this.tokens = this.max
    this.calls = 0
    this.withdrawn = 0
    this.refused = 0
  }
}

function maxOption(maxTokens: unknown): number {
  return Math.floor(numberOption('maxTokens', maxTokens, { min: 0, above: true, max: 1_000 }) * ONE)
}

function gainOption(tokenRatio: unknown): number {
  // A thousandth more than asked for would be as wrong as one less: 0.29 * 1000 is 290.00000000000006, 0.57 * 1000 is not 570.
  return Math.floor(numberOption('tokenRatio', tokenRatio, { min: 0, above: true }) * ONE + 1e-6)
}
