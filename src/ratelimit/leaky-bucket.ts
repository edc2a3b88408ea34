/**
 * A bucket that leaks at r a second, and into which each call pours its cost; a call that would make it run over is
 * refused.
 *
 *   level = max(0, level - r dt);   grant cost c   iff   level + c <= capacity
 *
 * Bound: in every closed interval of length d no more than capacity + r d is granted. The mirror image of the token
 * bucket, with the same decisions on every trace. Computed as gcra.ts says. To make calls wait instead, see pacer.ts.
 */
import { knownOptions, numberOption } from '../core/options.ts'
import { bucketPlan } from './gcra.ts'
import type { Limiter } from './limiter.ts'
import { commonOptions, type KeyedOptions, type LimiterSnapshot, SlotLimiter } from './slot-limiter.ts'

export interface LeakyBucketOptions extends KeyedOptions {
  readonly leakPerSecond: number
  /** What fits in. 0 denies everything. @default one second's worth */
  readonly capacity?: number
}

const own = ['leakPerSecond', 'capacity']

/** A leaky bucket as a meter: it refuses what does not fit, and never makes anybody wait. */
export function leakyBucket(options: LeakyBucketOptions): Limiter<LeakyBucketOptions, LimiterSnapshot> {
  knownOptions('leakyBucket', options, [...own, ...commonOptions])
  return new SlotLimiter('leaky-bucket', options, own, ({ leakPerSecond, capacity }) => {
    const rate = numberOption('leakPerSecond', leakPerSecond, { min: 0, above: true })
    return bucketPlan(
      1000 / rate,
      numberOption('capacity', capacity ?? Math.ceil(rate), { min: 0, max: 1e12, integer: true }),
      0,
    )
  })
}
