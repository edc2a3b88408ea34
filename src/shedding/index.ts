export { Adaptive, adaptive } from './adaptive.ts'
export type { AdaptiveOptions, AdaptiveSnapshot } from './adaptive-options.ts'
export { type AimdOptions, type AimdSnapshot, aimd } from './aimd.ts'
export { type BbrOptions, type BbrSnapshot, bbr, type UseReader } from './bbr.ts'
export { type ShedCall, type ShedCallOptions, type ShedTask, shedCall } from './call.ts'
export { type CodelOptions, type CodelSnapshot, codel } from './codel.ts'
export type { ShedOptions } from './door.ts'
export { type FixedOptions, type FixedSnapshot, fixed } from './fixed.ts'
export { type GradientOptions, type GradientSnapshot, gradient } from './gradient.ts'
export { type Runner, runnerOf } from './runner.ts'
export { shed } from './shed.ts'
export type {
  Mode,
  Refusal,
  Result,
  Shedder,
  ShedderOptions,
  ShedderSnapshot,
  Verdict,
} from './shedder.ts'
export { type VegasOptions, type VegasSnapshot, vegas } from './vegas.ts'
