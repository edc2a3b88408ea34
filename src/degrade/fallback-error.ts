const mark = Symbol.for('spillway.fallback-error')

/** Notes on the error that a call failed with what its fallback failed with. The error stays the one it was. */
export function attachFallbackError(error: unknown, second: unknown): void {
  if (typeof error !== 'object' || error === null || !Object.isExtensible(error)) return
  Object.defineProperty(error, mark, { value: second, configurable: true, enumerable: false, writable: true })
}

/** What the fallback of a failed call failed with, if it had one that failed. */
export function fallbackError(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? (error as Record<symbol, unknown>)[mark] : undefined
}
