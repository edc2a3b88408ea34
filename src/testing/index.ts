export type { ManualClock, ManualClockOptions } from './manual-clock.ts'
export { manualClock } from './manual-clock.ts'
