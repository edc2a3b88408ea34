import { createEvent, type Event } from '../core/event.ts'
import type { CircuitState } from './circuit-state.ts'
import type { TallyVerdict } from './tally.ts'

/** Why: what the window showed, that the time was over, how the probes came out, or somebody's hand. */
export type CircuitCause =
  | TallyVerdict
  | 'waited'
  | 'probe-failed'
  | 'probe-lost'
  | 'probes-succeeded'
  | 'manual'
  | 'restored'

/** A circuit has gone from one state to another. */
export interface CircuitChange {
  /** The name of the circuit. */
  readonly circuit: string
  readonly from: CircuitState
  readonly to: CircuitState
  readonly cause: CircuitCause
  /** When, on the scale of the clock that the circuit is asked with. */
  readonly at: number
  /** What the window held: calls, and of these the failed and the slow ones. */
  readonly total: number
  readonly failures: number
  readonly slow: number
  /** How long it stays open, when it opens. */
  readonly openForMs: number
}

/** Told of every change of state of every circuit, once each. On `diagnostics_channel` it is `spillway:circuit-changed`. */
export const circuitChanged: Event<CircuitChange> = createEvent<CircuitChange>('circuit-changed')
