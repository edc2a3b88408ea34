import type { ContextKey } from '../core/context-key.ts'
import { createContextKey } from '../core/context-key.ts'
import type { Event } from '../core/event.ts'
import { createEvent } from '../core/event.ts'
import type { Decision } from './limiter.ts'

/** What `rateLimit` tells of a call. */
export interface LimitEvent {
  readonly key: string
  readonly cost: number
  readonly decision: Decision
}

/** A call was refused. */
export const limitDenied: Event<LimitEvent> = createEvent('ratelimit-denied')
/** A limit that only watches would have refused a call. */
export const limitShadowed: Event<LimitEvent> = createEvent('ratelimit-shadowed')
/** A call was granted, and little is left. */
export const limitNear: Event<LimitEvent> = createEvent('ratelimit-near')

/**
 * In the context of a call that was granted when little was left: the decision. For those further in who can do
 * with less: skip what is optional, answer from a cache.
 */
export const nearLimit: ContextKey<Decision | undefined> = createContextKey('near limit', undefined)
