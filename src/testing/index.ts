export type { EventLoop, EventLoopOptions, LoopSource } from './event-loop.ts'
export { eventLoop } from './event-loop.ts'
export type { LoadReport, LoadTally, Traits } from './load-report.ts'
export { quantile } from './load-report.ts'
export type { ManualClock, ManualClockOptions } from './manual-clock.ts'
export { manualClock } from './manual-clock.ts'
export type { LoadPhase, LoopRequest, OpenLoopOptions } from './open-loop.ts'
export { openLoop } from './open-loop.ts'
export type { SettledOptions } from './settled.ts'
export { settled } from './settled.ts'
export type {
  Arrival,
  Script,
  SimulatedBackend,
  SimulatedBackendOptions,
  SimulatedBackendSnapshot,
  Turn,
} from './simulated-backend.ts'
export { simulatedBackend } from './simulated-backend.ts'
