import { createEvent, type Event } from '../core/event.ts'

/** An answer was made with less: something stood in for what should have been there. */
export interface Degradation {
  /** The name of the policy. */
  readonly policy: string
  readonly part: string
  readonly source: 'stale' | 'default' | 'missing'
  readonly ageMs: number | undefined
  /** Why; `undefined` where the part is switched off. */
  readonly error: unknown
}

/** Published as `spillway:degraded`. */
export const degraded: Event<Degradation> = createEvent('degraded')

/** A store of copies could not be read or written; calls go on without it. */
export interface StoreFailure {
  readonly policy: string
  readonly doing: 'read' | 'write' | 'delete'
  readonly error: unknown
}

/** Published as `spillway:store-failed`. */
export const storeFailed: Event<StoreFailure> = createEvent('store-failed')
