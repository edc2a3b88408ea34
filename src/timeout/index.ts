export type { AttemptDeadlineOptions, DeadlineOptions } from './deadline.ts'
export { attemptDeadline, deadline } from './deadline.ts'
export type {
  Quota,
  QuotaLimits,
  QuotaSnapshot,
  Quotas,
  QuotasMechanism,
  QuotasSnapshot,
} from './quotas.ts'
export { quotas } from './quotas.ts'
export type { LimitOptions } from './time-limit.ts'
