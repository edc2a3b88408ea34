/** Refuses what is not a cost. A NaN that got into a count would let everything through for ever. */
export function checkCost(cost: number): void {
  if (cost === 1 || (Number.isSafeInteger(cost) && cost >= 0)) return
  throw new RangeError(`Expected \`cost\` to be a whole number from 0 up, got ${String(cost)}`)
}

/** Any string is a key, however long and whatever is in it. */
export function checkKey(key: string): void {
  if (typeof key === 'string') return
  throw new TypeError(`Expected \`key\` to be a string, got ${key === null ? 'null' : typeof key}`)
}
