import type { ErrorFacts } from '../internal/error-facts.ts'

/** What is kept: an answer, or what is left of a failure that says that there is nothing to be had. */
export type Kept = { readonly value: unknown } | { readonly error: ErrorFacts }

/** How long something is kept, all of it counted from when it was asked for. */
export interface Lifetime {
  /** How long ago it was asked for. */
  readonly tookMs: number
  /** How long it is fresh. */
  readonly freshMs: number
  /** How long it is kept, fresh or not. */
  readonly keepMs: number
}

/** Something kept, as a store gives it back. */
export interface Copy {
  readonly kept: Kept
  /** How long ago it was asked for. An answer may be as old as that, and is never older. */
  readonly ageMs: number
  /** Up to which age it is fresh. */
  readonly freshMs: number
}

/**
 * Keeps copies by key. What was asked for earlier never replaces what was asked for later, nor anything that was
 * deleted meanwhile or in that very instant: a slow answer that is overtaken by a newer one is dropped. A store
 * measures time by one clock of its own, or by `now` where it has none.
 */
export interface CopyStore {
  get(key: string, now: number): Copy | undefined | Promise<Copy | undefined>
  set(key: string, kept: Kept, lifetime: Lifetime, now: number): void | Promise<void>
  delete(key: string, now: number): void | Promise<void>
}
