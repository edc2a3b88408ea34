import type { Clock } from '../core/clock.ts'
import { choiceOption, functionOption, numberOption } from '../core/options.ts'
import type { RefusalAdvice } from './breaker.ts'

export interface CircuitOptions {
  /** Opens when at least this share of the calls in the window failed, from 0 to 1. @default 0.5 */
  readonly failureRatio?: number
  /** A call that takes longer than this is a slow one. @default Infinity */
  readonly slowMs?: number
  /** Opens when at least this share of the calls in the window was slow, from 0 to 1. @default 0.5 */
  readonly slowRatio?: number
  /** With fewer calls than this in the window, no ratio opens the circuit. @default 20 */
  readonly minimum?: number
  /** Opens after this many failures in a row within the window, whatever `minimum` says. @default Infinity */
  readonly consecutiveFailures?: number
  /** @default 10_000 */
  readonly windowMs?: number
  /** How many steps the window moves in. @default 10 */
  readonly buckets?: number
  /** How long the circuit stays open before it is tried again. @default 5_000 */
  readonly openMs?: number
  /** How much longer after each trial that failed. @default 2 */
  readonly openFactor?: number
  /** The longest that it stays open; never less than `openMs`. @default 60_000 */
  readonly maxOpenMs?: number
  /** Spreads the time that it stays open by this share up and down, so that clients do not come back as one. @default 0.1 */
  readonly jitterRatio?: number
  /** How many calls at once may try a half-open circuit. @default 1 */
  readonly probes?: number
  /** How many of them must succeed to close it. @default 3 */
  readonly successesToClose?: number
  /** How many of them may fail before it opens again. @default 0 */
  readonly probeFailures?: number
  /** How long a probe may stay out; less where its call has less time. @default 10_000 */
  readonly probeTimeoutMs?: number
  /** What a probe counts for that stays out longer. @default 'failure' */
  readonly lostProbe?: 'failure' | 'neutral'
  /** What a refusal tells the caller about trying again. @default 'never' */
  readonly retry?: RefusalAdvice
  /** Names the circuit in refusals and events; one with a name is listed by `inspect()`. @default 'circuit' */
  readonly name?: string
  /** @default Math.random */
  readonly random?: () => number
  /** Read by `state`, `snapshot` and the manual controls. @default the process's clock */
  readonly clock?: Clock
}

export type CircuitSettings = Required<Omit<CircuitOptions, 'name' | 'clock'>>

export const circuitDefaults: CircuitSettings = {
  failureRatio: 0.5,
  slowMs: Infinity,
  slowRatio: 0.5,
  minimum: 20,
  consecutiveFailures: Infinity,
  windowMs: 10_000,
  buckets: 10,
  openMs: 5_000,
  openFactor: 2,
  maxOpenMs: 60_000,
  jitterRatio: 0.1,
  probes: 1,
  successesToClose: 3,
  probeFailures: 0,
  probeTimeoutMs: 10_000,
  lostProbe: 'failure',
  retry: 'never',
  random: Math.random,
}

export const circuitSettingNames: readonly string[] = Object.keys(circuitDefaults)

export function checkCircuit(settings: CircuitSettings): CircuitSettings {
  const ratio = { min: 0, max: 1, above: true }
  const count = { min: 1, integer: true }
  const time = { min: 0, above: true }
  numberOption('failureRatio', settings.failureRatio, ratio)
  numberOption('slowMs', settings.slowMs, { min: 0, infinite: true })
  numberOption('slowRatio', settings.slowRatio, ratio)
  numberOption('minimum', settings.minimum, count)
  numberOption('consecutiveFailures', settings.consecutiveFailures, { ...count, infinite: true })
  numberOption('windowMs', settings.windowMs, time)
  numberOption('buckets', settings.buckets, { ...count, max: 1_000 })
  numberOption('openMs', settings.openMs, time)
  numberOption('openFactor', settings.openFactor, { min: 1 })
  numberOption('maxOpenMs', settings.maxOpenMs, time)
  numberOption('jitterRatio', settings.jitterRatio, { min: 0, max: 1 })
  numberOption('probes', settings.probes, { ...count, max: 1_000 })
  numberOption('successesToClose', settings.successesToClose, count)
  numberOption('probeFailures', settings.probeFailures, { min: 0, integer: true })
  numberOption('probeTimeoutMs', settings.probeTimeoutMs, time)
  choiceOption('lostProbe', settings.lostProbe, ['failure', 'neutral'])
  choiceOption('retry', settings.retry, ['never', 'elsewhere'])
  functionOption('random', settings.random)
  return settings
}
