import { numberOption } from '../core/options.ts'
import { overlay } from '../internal/overlay.ts'
import type { KneeReason } from './knee.ts'
import type { ShedderOptions, ShedderSnapshot } from './shedder.ts'

export interface AdaptiveOptions extends ShedderOptions {
  /** The longest that a call waits while the load is one that can be served. @default 100 */
  readonly burstWaitMs?: number
  /** The longest that a call waits while it is not, or one turn of the loop, up to 40 ms. @default 20 */
  readonly standingWaitMs?: number
  /** How much of the work each class gets at least, while it has calls waiting. @default 0.05 */
  readonly floorRatio?: number
  /** The limit of calls in flight never falls below. @default 4 */
  readonly minLimit?: number
  /** The most calls that wait. @default 4_096 */
  readonly maxQueued?: number
}

export type AdaptiveSettings = Required<Omit<AdaptiveOptions, 'name' | 'mode'>>

export interface AdaptiveSnapshot extends ShedderSnapshot, AdaptiveSettings {
  /** Why the limit is what it is. */
  readonly limitReason: KneeReason
  /** Calls that wait. */
  readonly queued: number
  /** The work that they will be, in milliseconds of the loop. */
  readonly queuedWorkMs: number
  /** Whether the queue of each class stands, the most important first. */
  readonly standing: readonly boolean[]
  /** Work that arrives for each millisecond. */
  readonly demand: number
  /** Work that begins in each millisecond while calls wait. */
  readonly drainRate: number
  /** What has been learnt of each route: what a call costs the loop, and how long one takes undisturbed. */
  readonly routes: Readonly<Record<string, { readonly costMs: number; readonly baseMs: number }>>
}

const adaptiveDefaults: AdaptiveSettings = {
  burstWaitMs: 100,
  standingWaitMs: 20,
  floorRatio: 0.05,
  minLimit: 4,
  maxQueued: 4_096,
}

/** What `update` takes. */
export const adaptiveKnown: readonly string[] = ['mode', ...Object.keys(adaptiveDefaults)]

export function checkAdaptive(
  options: AdaptiveOptions,
  base: AdaptiveSettings = adaptiveDefaults,
): AdaptiveSettings {
  const { burstWaitMs, standingWaitMs, floorRatio, minLimit, maxQueued } = overlay(base, options)
  numberOption('standingWaitMs', standingWaitMs, { min: 1 })
  numberOption('burstWaitMs', burstWaitMs, { min: standingWaitMs })
  numberOption('floorRatio', floorRatio, { min: 0, max: 0.25, above: true })
  numberOption('minLimit', minLimit, { min: 1, integer: true })
  numberOption('maxQueued', maxQueued, { min: 1, integer: true })
  return { burstWaitMs, standingWaitMs, floorRatio, minLimit, maxQueued }
}
