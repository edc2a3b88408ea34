import type { SavedWindow } from '../internal/rolling-window.ts'

/** `forced-open`, `forced-closed` and `disabled` are set by hand and stay until somebody lets go. */
export type CircuitState = 'closed' | 'open' | 'half-open' | 'forced-open' | 'forced-closed' | 'disabled'

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
