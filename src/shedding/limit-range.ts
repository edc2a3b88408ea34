import { numberOption } from '../core/options.ts'

/** Between what a limit that adapts may move. */
export interface LimitRange {
  /** Where it starts. */
  readonly initialLimit: number
  /** It never falls below. */
  readonly minLimit: number
  /** It never rises above. */
  readonly maxLimit: number
}

export function checkRange({ initialLimit, minLimit, maxLimit }: LimitRange): LimitRange {
  numberOption('minLimit', minLimit, { min: 1, integer: true })
  numberOption('maxLimit', maxLimit, { min: minLimit, integer: true })
  numberOption('initialLimit', initialLimit, { min: minLimit, max: maxLimit, integer: true })
  return { initialLimit, minLimit, maxLimit }
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}
