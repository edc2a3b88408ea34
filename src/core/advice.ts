import { isRejection, type RetryAdvice } from './rejection.ts'

/** What an error says about trying again. */
export interface Advice {
  readonly retry: RetryAdvice
  readonly retryAfterMs?: number | undefined
}

const mark = Symbol.for('spillway.advice')
/** Causes are followed this far; a chain that goes on, or round in a circle, says nothing more. */
const MAX_DEPTH = 8

/**
 * Writes advice on an error that is not the kit's, so that it travels up with its identity kept. An advice of
 * `never`, the error's own or that of a cause of it, stays: no later call can soften it.
 */
export function advise(error: unknown, advice: Advice): void {
  if (typeof error !== 'object' || error === null || !Object.isExtensible(error)) return
  if (isFinal(error)) return
  Object.defineProperty(error, mark, { value: advice, configurable: true, enumerable: false, writable: true })
}

/** The advice that an error, or the nearest of its causes, carries. */
export function adviceOf(error: unknown): Advice | undefined {
  let current = error
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    if (typeof current !== 'object' || current === null) return undefined
    const held = (current as Record<symbol, Advice | undefined>)[mark]
    if (held !== undefined) return held
    if (isRejection(current)) return current
    current = (current as { cause?: unknown }).cause
  }
  return undefined
}

/** Whether whoever answered said that trying again may help. Without a word from them: no. */
export function shouldRetry(error: unknown): boolean {
  const advice = adviceOf(error)
  return advice !== undefined && advice.retry !== 'never'
}

/** Whether somebody below has given up for good: no layer may try this call again. */
export function isFinal(error: unknown): boolean {
  return adviceOf(error)?.retry === 'never'
}

/** How long to wait before trying again, in milliseconds, if whoever answered said so. */
export function retryAfter(error: unknown): number | undefined {
  return adviceOf(error)?.retryAfterMs
}
