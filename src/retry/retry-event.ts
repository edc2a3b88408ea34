import { createEvent, type Event } from '../core/event.ts'

/** Another attempt is about to be made. */
export interface Retried {
  /** The name of the `retry` or `hedge`. */
  readonly policy: string
  /** The number of the attempt to come. */
  readonly attempt: number
  readonly delayMs: number
  /** Why: what the attempt before failed with; `undefined` for a hedge that did not wait for that. */
  readonly error: unknown
}

/** What stood in the way of an attempt that was wanted; `hint` is a wait that the server asked for. */
export type GaveUpCause = 'attempts' | 'deadline' | 'hint' | 'backoff' | 'budget'

/** Another attempt was wanted and could not be had; the error goes up marked as final. */
export interface GaveUp {
  readonly policy: string
  /** How many attempts were made. */
  readonly attempts: number
  readonly cause: GaveUpCause
  readonly error: unknown
}

/** On `diagnostics_channel` it is `spillway:retried`. */
export const retried: Event<Retried> = createEvent<Retried>('retried')

/** On `diagnostics_channel` it is `spillway:gave-up`. */
export const gaveUp: Event<GaveUp> = createEvent<GaveUp>('gave-up')
