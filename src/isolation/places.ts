import { knownOptions, numberOption } from '../core/options.ts'

/** How many calls may run at a time, and how many may wait for their turn. */
export interface PlacesOptions {
  /** How many calls may run at a time. 0 lets nothing in. */
  readonly limit: number
  /** How many calls may wait for a place. @default 0 */
  readonly queue?: number
  /** How long a call may wait for a place. Its deadline bounds the wait too. @default 1000 */
  readonly maxWaitMs?: number
  /**
   * Once the first in line has waited longer than this, the last to come is served first: in an old line those at
   * the head have mostly been given up by their callers. @default Infinity, first come, first served
   */
  readonly lifoAfterMs?: number
}

export const placesOptions: readonly (keyof PlacesOptions)[] = ['limit', 'queue', 'maxWaitMs', 'lifoAfterMs']

/** Fills in what was left out. `path` stands before the names of the options in messages. */
export function checkPlaces(owner: string, options: PlacesOptions, path = ''): Required<PlacesOptions> {
  knownOptions(owner, options, placesOptions)
  const { limit, queue = 0, maxWaitMs = 1000, lifoAfterMs = Infinity } = options
  return {
    limit: numberOption(`${path}limit`, limit, { min: 0, integer: true }),
    queue: numberOption(`${path}queue`, queue, { min: 0, integer: true }),
    maxWaitMs: numberOption(`${path}maxWaitMs`, maxWaitMs, { min: 0, above: true, infinite: true }),
    lifoAfterMs: numberOption(`${path}lifoAfterMs`, lifoAfterMs, { min: 0, infinite: true }),
  }
}
