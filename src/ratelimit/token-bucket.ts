/**
 * A bucket that holds up to B tokens, is filled at r tokens a second, and pays each call from what it holds.
 *
 *   tokens = min(B, tokens + r dt);   grant cost c   iff   tokens >= c
 *
 * Bound: in every closed interval of length d no more than B + r d is granted; with `refillEveryMs` of I, where
 * what has dripped in is poured in at multiples of I, no more than B + r (d + I). Whoever waits until there are
 * enough tokens is not refused. Computed as gcra.ts says.
 */
import { knownOptions, numberOption } from '../core/options.ts'
import { bucketPlan } from './gcra.ts'
import type { Limiter } from './limiter.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'

export interface TokenBucketOptions extends KeyedOptions {
  readonly ratePerSecond: number
  /** What the bucket holds: the most that can be granted at one instant. 0 denies everything. @default one second's worth */
  readonly burst?: number
  /** Tokens come in steps, at multiples of this; 0 for evenly. @default 0 */
  readonly refillEveryMs?: number
}

const own = ['ratePerSecond', 'burst', 'refillEveryMs']

/** `ratePerSecond` on average, with up to `burst` at one instant. */
export function tokenBucket(options: TokenBucketOptions): Limiter<TokenBucketOptions, LimiterSnapshot> {
  knownOptions('tokenBucket', options, [...own, ...commonOptions])
  return new SlotLimiter('token-bucket', options, own, ({ ratePerSecond, burst, refillEveryMs }) => {
    const rate = numberOption('ratePerSecond', ratePerSecond, { min: 0, above: true })
    return bucketPlan(
      1000 / rate,
      numberOption('burst', burst ?? Math.ceil(rate), { min: 0, max: 1e12, integer: true }),
      numberOption('refillEveryMs', refillEveryMs ?? 0, { min: 0 }),
    )
  })
}
