export type { Outage } from './fallback.ts'
export type { BucketLimit, RedisLimit, WindowLimit } from './limits.ts'
export type { Command, LinkSnapshot, RedisReachChange } from './link.ts'
export { redisReach } from './link.ts'
export { redisLimiter } from './redis-limiter.ts'
export type {
  ExactOptions,
  FairOptions,
  LeasedOptions,
  RedisLimiter,
  RedisLimiterOptions,
  RedisLimiterSnapshot,
  RedisLimiterUpdate,
} from './types.ts'
