/** Refuses what is not a cost. A NaN that got into a count would let everything through for ever. */
export function checkCost(cost: number): void {
  if (cost === 1 || (Number.isSafeInteger(cost) && cost >= 0)) return
  throw new RangeError(`Expected \`cost\` to be a whole number from 0 up, got ${String(cost)}`)
}

/** `options` with what is given in `partial`; `undefined` leaves an option as it is. */
export function changed<Options extends object>(options: Options, partial: Partial<Options>): Options {
  const given = Object.entries(partial).filter(([, value]) => value !== undefined)
  return { ...options, ...Object.fromEntries(given) }
}

/** Any string is a key, however long and whatever is in it. */
export function checkKey(key: string): void {
  if (typeof key !== 'string') throw noKey(key)
}

function noKey(key: unknown): TypeError {
  return new TypeError(`Expected \`key\` to be a string, got ${key === null ? 'null' : typeof key}`)
}
