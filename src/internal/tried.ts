/**
 * Which endpoints have served earlier attempts of a call, so that a balancer can choose others for the next one.
 *
 * A retry and a hedge put the set into the context of the attempts that they add; the balancer adds what it chooses.
 * The first attempt of a retry runs before there is a set: the balancer notes its endpoint on the error instead.
 */
import { type ContextKey, createContextKey } from '../core/context-key.ts'

export const triedEndpoints: ContextKey<Set<string> | undefined> = createContextKey<Set<string> | undefined>(
  'endpoints tried',
  undefined,
)

const byError = new WeakMap<object, string>()

/** For balancers: notes which endpoint an error came from. */
export function noteEndpoint(error: unknown, endpoint: string): void {
  if (typeof error === 'object' && error !== null) byError.set(error, endpoint)
}

/** The endpoint that an error came from, if a balancer has noted it. */
export function endpointOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null ? byError.get(error) : undefined
}
