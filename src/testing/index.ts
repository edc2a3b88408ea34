export type { ManualClock, ManualClockOptions } from './manual-clock.ts'
export { manualClock } from './manual-clock.ts'
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
