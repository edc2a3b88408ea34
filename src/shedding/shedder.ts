import type { Mechanism } from '../core/mechanism.ts'
import type { ShedCall } from './call.ts'

/**
 * Why a call is refused.
 * `limit`: as many calls as may be are in flight. `share`: its tenant has its share of them.
 * `delay`: calls have waited too long before they begin. `wait`: it would wait too long. `expired`: it has waited
 * too long. `full`: there is no room to wait. `late`: its deadline has passed. `gone`: nobody waits for it.
 */
export type Refusal = (typeof refusals)[number]

export const refusals: readonly ['limit', 'share', 'delay', 'wait', 'expired', 'full', 'late', 'gone'] = [
  'limit',
  'share',
  'delay',
  'wait',
  'expired',
  'full',
  'late',
  'gone',
]

/** `run`: begin now. `queued`: the shedder will say when. Anything else: why not. */
export type Verdict = 'run' | 'queued' | Refusal

/**
 * What a call says about the load, once it is over. `success`: the time it took. `ignore`: nothing, as an error or
 * a cancellation. `dropped`: it was lost to overload further in, a timeout above all.
 */
export type Result = 'success' | 'ignore' | 'dropped'

/**
 * `enforce`: refuse. `observe`: decide the same and count it, but refuse nobody. `off`: let everything through
 * unseen.
 */
export type Mode = 'enforce' | 'observe' | 'off'

export interface ShedderOptions {
  /** Names the shedder in refusals, in `inspect()` and in metrics. @default its kind */
  readonly name?: string
  /** @default 'enforce' */
  readonly mode?: Mode
}

export interface ShedderSnapshot {
  readonly mode: Mode
  /** Calls that have begun and are not over. */
  readonly inFlight: number
  /** How many of them there may be; `Infinity` for no limit at present. */
  readonly limit: number
  /** Calls let in since the start or the last `reset()`. */
  readonly admitted: number
  /** Calls that were let through unasked: health checks, metrics. */
  readonly exempt: number
  /** Calls refused, by reason; in `observe` the ones that would have been. */
  readonly refused: Readonly<Record<Refusal, number>>
}

/**
 * Decides which calls are served. It owns no timer and does nothing by itself: whoever serves asks with `offer`
 * before each call and tells with the call's own `success`, `ignore` or `dropped` how it came out.
 */
export interface Shedder<
  Options extends ShedderOptions = any,
  Snapshot extends ShedderSnapshot = ShedderSnapshot,
> extends Mechanism<Options, Snapshot> {
  readonly mode: Mode
  /** Whether a call may go on now. Only a shedder with a queue of its own ever says `queued`. */
  offer(call: ShedCall, now: number): Verdict
  /** Counts a call that is let through unasked. */
  exempt(): void
  /** Notes that a call that was let in is over. Called by the call itself, once. */
  settle(call: ShedCall, result: Result, now: number): void
  /**
   * How hard it is pressed: 0 when nothing stands in the way of a call, up to 0.5 while calls wait or the second
   * half of the limit fills, from 0.5 to 1 while calls are refused, 1 when nearly all are. Told to callers as
   * `x-pressure`.
   */
  pressure(now: number): number
  /** Whether calls are being refused: for switches, for degradation, for health. */
  isOverloaded(now: number): boolean
}
