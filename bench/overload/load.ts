/** What is asked of the process with the clients, and what it answers. */
import type { RequestText } from './connection.ts'

/** One kind of request among those that are sent. */
export interface RequestKind extends RequestText {
  /** How many of all requests are of this kind, beside the other kinds. */
  readonly weight: number
  /** Under what the kind is counted. */
  readonly label: string
}

export interface Phase {
  readonly ratePerSecond: number
  readonly seconds: number
}

/** Requests that set out at random times of their own, whatever becomes of the ones before. */
export interface OpenLoad {
  readonly mode: 'open'
  readonly port: number
  readonly kinds: readonly RequestKind[]
  readonly phases: readonly Phase[]
  /** How often a client tries again, at once, after a refusal or a timeout. */
  readonly retries: number
  /** Each request comes over a connection of its own, which is opened for it and closed after it. */
  readonly fresh?: boolean
  readonly seed: number
}

/** Clients that each send a request when the one before has been answered. */
export interface ClosedLoad {
  readonly mode: 'closed'
  readonly port: number
  readonly kinds: readonly RequestKind[]
  readonly connections: number
  readonly seconds: number
  /** For how long they are at it before anything counts. */
  readonly settle?: number
  /** Whose processor time is looked at, over what counts. */
  readonly pid?: number
}

export interface Count {
  sent: number
  /** Answered 200 within 200 ms of the time when it was meant to set out. */
  good: number
  /** Answered 200 at all. */
  served: number
  /** Not served, and answered 503 in the end. */
  refused: number
  /** Neither. */
  lost: number
}

export interface PhaseOutcome extends Count {
  readonly seconds: number
  readonly by: Readonly<Record<string, Count>>
  /** Of those that were served. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of refusals, from when the attempt set out. */
  readonly refusalP50Ms: number
  readonly refusalP99Ms: number
  /** When the last request of the phase set out that was not served within 100 ms, from the phase's start; 0 for none. */
  readonly lastBadS: number
}

export interface OpenOutcome {
  readonly phases: readonly PhaseOutcome[]
  /** Good answers in each 20 ms, by when they came. */
  readonly goodByBin: readonly number[]
  /** How much later than meant requests set out: a sign that the clients were not up to it. */
  readonly lateP99Ms: number
  readonly connections: number
}

export interface ClosedOutcome {
  readonly seconds: number
  /** What the process has used meanwhile; NaN where nobody knows. */
  readonly cpuMs: number
  readonly served: number
  readonly refused: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export const BIN_MS = 20
export const GOOD_MS = 200
export const CALM_MS = 100
/** When a client gives up. */
export const TIMEOUT_MS = 1_000
/** How many connections are open before anything is sent, as in the pools of clients that have been there for a while. */
export const FIRST_CONNECTIONS = 256
/** How many there are at most. Who finds none free waits for one, and that time counts. */
export const MAX_CONNECTIONS = 1_024

export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!
}
