/** `base` with those fields of `changes` that are given: an option that is `undefined` is one that was left out. */
export function overlay<T extends object>(
  base: T,
  changes: { readonly [K in keyof T]?: T[K] | undefined },
): T {
  const result = { ...base }
  for (const key of Object.keys(base) as (keyof T)[]) {
    const change = changes[key]
    if (change !== undefined) result[key] = change
  }
  return result
}
