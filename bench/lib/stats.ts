/** The middle value; of an even number of values, the mean of the two in the middle. */
function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('Expected at least one value')
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2
}

/** A figure taken over several rounds: its median, and how far the rounds lie apart. */
export interface Figure {
  readonly value: number
  readonly low: number
  readonly high: number
}

export function figure(rounds: readonly number[]): Figure {
  return { value: median(rounds), low: Math.min(...rounds), high: Math.max(...rounds) }
}

/** A ratio taken within each round, so that what slows the machine down for a while slows both sides. */
export function ratio(over: readonly number[], under: readonly number[]): Figure {
  return figure(over.map((value, round) => value / under[round]!))
}
