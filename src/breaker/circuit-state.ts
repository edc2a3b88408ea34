import { choiceOption, numberOption } from '../core/options.ts'
import type { SavedWindow } from '../internal/rolling-window.ts'

/** `forced-open`, `forced-closed` and `disabled` are set by hand and stay until somebody lets go. */
export type CircuitState = 'closed' | 'open' | 'half-open' | 'forced-open' | 'forced-closed' | 'disabled'

const states: readonly CircuitState[] = [
  'closed',
  'open',
  'half-open',
  'forced-open',
  'forced-closed',
  'disabled',
]

/** Plain data, without any point in time in it, so that it can be restored in another process. */
export interface CircuitSnapshot {
  readonly state: CircuitState
  /** Calls in the window, and of these the failed and the slow ones. */
  readonly total: number
  readonly failures: number
  readonly slow: number
  /** Failures in a row. */
  readonly streak: number
  /** How much longer it stays open; 0 when it is not. */
  readonly openForMs: number
  /** Trials that have failed since it was last closed. */
  readonly reopens: number
  readonly probes: { readonly inFlight: number; readonly successes: number; readonly failures: number }
  /** Since the last reset. */
  readonly admitted: number
  readonly refused: number
  readonly opened: number
  /** Name and message of the latest failure, cut short. */
  readonly lastFailure: string | undefined
  readonly window: SavedWindow
}

/** Refuses what is no snapshot: it may come from a file, and one bad number in it would keep a circuit open for ever. */
export function checkSnapshot(snapshot: CircuitSnapshot): CircuitSnapshot {
  const { state, openForMs, reopens, streak, probes, window } = snapshot
  const count = { min: 0, integer: true }
  choiceOption('snapshot.state', state, states)
  numberOption('snapshot.openForMs', openForMs, { min: 0 })
  numberOption('snapshot.reopens', reopens, count)
  numberOption('snapshot.streak', streak, count)
  numberOption('snapshot.probes.successes', probes?.successes, count)
  numberOption('snapshot.probes.failures', probes?.failures, count)
  numberOption('snapshot.window.bucketMs', window?.bucketMs, { min: 0, above: true })
  numberOption('snapshot.window.sinceBucketStartMs', window?.sinceBucketStartMs, { min: 0 })
  if (!Array.isArray(window.counts) || window.counts.some(kinds => kinds?.length !== 3)) {
    throw new TypeError('Expected `snapshot.window.counts` to be a list of lists of three')
  }
  for (const kinds of window.counts) {
    for (const kind of kinds) numberOption('snapshot.window.counts', kind, count)
  }
  return snapshot
}
