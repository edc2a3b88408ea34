/** Bounds for an option. Both ends belong to the range. */
export interface NumberBounds {
  /** @default -Infinity */
  readonly min?: number
  /** @default Infinity */
  readonly max?: number
  /** Refuses `min` itself. @default false */
  readonly above?: boolean
  /** @default false */
  readonly integer?: boolean
  /** Allows `Infinity`, for "no limit". @default false */
  readonly infinite?: boolean
}

/** `value` if it is a number within the bounds; throws a `RangeError` that says what was expected and what came. */
export function numberOption(name: string, value: unknown, bounds: NumberBounds = {}): number {
  const { min = -Infinity, max = Infinity, above = false, integer = false, infinite = false } = bounds
  const fits =
    typeof value === 'number' &&
    (above ? value > min : value >= min) &&
    value <= max &&
    (Number.isFinite(value) || infinite) &&
    (!integer || Number.isInteger(value) || value === Infinity)
  if (fits) return value
  const kind = integer ? 'a whole number' : 'a number'
  const low = above ? `above ${min}` : `from ${min}`
  const range =
    min === -Infinity
      ? max === Infinity
        ? ''
        : ` up to ${max}`
      : max === Infinity
        ? ` ${low}${above ? '' : ' up'}`
        : ` ${low} to ${max}`
  throw new RangeError(`Expected \`${name}\` to be ${kind}${range}, got ${show(value)}`)
}

/** `value` if it is one of `allowed`; throws a `TypeError` that lists them otherwise. */
export function choiceOption<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  const list = allowed.map(choice => `'${choice}'`).join(', ')
  throw new TypeError(`Expected \`${name}\` to be one of ${list}, got ${show(value)}`)
}

/** `value` if it is a function; throws a `TypeError` otherwise. */
export function functionOption<T>(name: string, value: T): T {
  if (typeof value === 'function') return value
  throw new TypeError(`Expected \`${name}\` to be a function, got ${show(value)}`)
}

/** `value` if it is a string with something in it; throws a `TypeError` otherwise. */
export function nameOption(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`Expected \`${name}\` to be a string that is not empty, got ${show(value)}`)
}

/** Refuses what is no object, and keys that no option has: a misspelt option would be ignored for ever. */
export function knownOptions(owner: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Expected the options of ${owner} to be an object, got ${show(options)}`)
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    throw new TypeError(
      `${owner} has no option \`${key}\`; it has ${known.map(name => `\`${name}\``).join(', ')}`,
    )
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
