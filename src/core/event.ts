import { channel } from 'node:diagnostics_channel'
import { warn } from './warn.ts'

/**
 * Something that happens now and then: a circuit opens, an endpoint is ejected, a setting changes. It is published
 * on the `diagnostics_channel` named `spillway:<name>`, so that tracing tools can listen without knowing the kit.
 */
export interface Event<T extends object> {
  readonly name: string
  /** Whether anybody listens. Ask before building a payload: then an event that nobody hears costs nothing. */
  readonly active: boolean
  emit(payload: T): void
  /** Calls `listener` for each event until the function that it returns is called. */
  on(listener: (payload: T) => void): () => void
}

/** Makes an event. The same name gives the same channel. */
export function createEvent<T extends object>(name: string): Event<T> {
  const underlying = channel(`spillway:${name}`)
  return {
    name,
    get active() {
      return underlying.hasSubscribers
    },
    emit(payload) {
      if (underlying.hasSubscribers) underlying.publish(payload)
    },
    on(listener) {
      // An observer that throws must not take the process down with it, which is what a channel would do.
      const guarded = (payload: unknown): void => {
        try {
          listener(payload as T)
        } catch (error) {
          warn('SPILLWAY_LISTENER_FAILED', `A listener of ${name} threw: ${String(error)}`)
        }
      }
      underlying.subscribe(guarded)
      return () => {
        underlying.unsubscribe(guarded)
      }
    },
  }
}
