import type { Criticality } from '../core/criticality.ts'

/** What sets one request apart from another. */
export interface Traits {
  readonly route?: string
  readonly criticality?: Criticality
  readonly tenant?: string
}

/** What became of the requests of one phase, or of some of them. */
export interface LoadTally {
  /** Requests that set out; each counts once, however often it was tried. */
  sent: number
  /** Answered, and in time to be of use. */
  good: number
  /** Answered at all. */
  answered: number
  /** Attempts refused by the server. */
  refused: number
  /** Attempts that failed: an error, a timeout, no connection free. */
  failed: number
  /** Milliseconds to the answer, of those answered. */
  readonly latencies: number[]
  /** Milliseconds to each refusal. */
  readonly refusalLatencies: number[]
}

export interface LoadReport {
  readonly phases: readonly LoadTally[]
  /** By the whole second since the start, counted when the request set out. */
  readonly seconds: readonly LoadTally[]
  /** By what `label` makes of the traits, over the phase of that number. */
  by(phase: number, label: (traits: Traits) => string): ReadonlyMap<string, LoadTally>
}

/** The value below which the share `q` of `values` lies; 0 for none. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return 0
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!
}

/** A tally of nothing yet. */
export function emptyTally(): LoadTally {
  return { sent: 0, good: 0, answered: 0, refused: 0, failed: 0, latencies: [], refusalLatencies: [] }
}
