export type { AttemptDeadlineOptions, DeadlineOptions, LimitOptions } from './deadline.ts'
export { attemptDeadline, deadline } from './deadline.ts'
