export type {
  Assemble,
  AssembleOptions,
  AssembleSnapshot,
  Assembly,
  ModuleAnswer,
  ModuleSnapshot,
  Modules,
  PageRequest,
} from './assemble.ts'
export { assemble } from './assemble.ts'
export type { Copy, CopyStore, Kept, Lifetime } from './copy-store.ts'
export type { Degradation, StoreFailure } from './events.ts'
export { degraded, storeFailed } from './events.ts'
export type { Fallback, FallbackOptions, FallbackSnapshot, MakeDefault } from './fallback.ts'
export { fallback } from './fallback.ts'
export { fallbackError } from './fallback-error.ts'
export type { MemoryStore, MemoryStoreOptions, MemoryStoreSnapshot } from './memory-store.ts'
export { memoryStore } from './memory-store.ts'
export type { Module } from './module.ts'
export type { Singleflight, SingleflightOptions, SingleflightSnapshot } from './singleflight.ts'
export { singleflight } from './singleflight.ts'
export type { Stale, StaleOptions, StaleSnapshot } from './stale.ts'
export { stale } from './stale.ts'
export type { StoreAccessOptions } from './store-access.ts'
export type { AutomaticSwitch, SwitchSetting, SwitchSource } from './switch-cell.ts'
export type {
  ManualSetting,
  SwitchChange,
  Switches,
  SwitchesOptions,
  SwitchOptions,
  SwitchSnapshot,
} from './switches.ts'
export { switchChanged, switches } from './switches.ts'
export type { Trigger } from './trigger.ts'
