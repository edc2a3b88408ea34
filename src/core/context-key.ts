/** Names a value of type `T` that travels in a `Context`. Two keys are never the same, whatever their description. */
export interface ContextKey<T> {
  readonly description: string
  readonly defaultValue: T
}

/** Makes a key for values of your own: `context.with(key, value)` sets it, `context.get(key)` reads it. */
export function createContextKey<T>(description: string, defaultValue: T): ContextKey<T> {
  return Object.freeze({ description, defaultValue })
}
