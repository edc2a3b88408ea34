import type { Fingerprint } from '../internal/key-hash.ts'
import type { SlotTable } from '../internal/slot-table.ts'

/**
 * What one algorithm does with the state of one key. A rule keeps nothing per key itself: the state is a row of
 * numbers in `cells` from `at` on. Times are whole units (see time-scale.ts); costs are whole numbers up to `limit`.
 *
 * `cells[at]` is always when the key will be as good as new. While that is not after `now`, the other cells mean
 * nothing, and the key is treated as one never seen.
 */
export interface Rule {
  /** The most that can be granted at one instant. */
  readonly limit: number
  /** Numbers per key. */
  readonly width: number
  /** Units until `cost` would be granted; 0 or less for now. Changes nothing. */
  wait(cells: Float64Array, at: number, cost: number, now: number): number
  /** The largest cost that would be granted now. */
  room(cells: Float64Array, at: number, now: number): number
  /** Takes `cost`, granted or not; a debt stops at one limit. Returns the room that is left. */
  add(cells: Float64Array, at: number, cost: number, now: number): number
  /** Gives back `cost` that was taken at `takenAt`. */
  give(cells: Float64Array, at: number, cost: number, now: number, takenAt: number): void
  /** Makes the row ready for another key, in the state of the row at `from`. */
  copy(cells: Float64Array, from: number, to: number): void
  /**
   * Turns a row of `old`, where it was `then`, into one of this rule, where it is `now`. `ratio` is how many of
   * this rule's units make one of the old.
   */
  adopt(cells: Float64Array, at: number, now: number, old: this, then: number, ratio: number): void
  /** Lets go of what is kept outside the rows. */
  clear?(): void
}

export function copyRow(cells: Float64Array, from: number, to: number, width: number): void {
  for (let i = 0; i < width; i++) cells[to + i] = cells[from + i]!
}

/** A row for a key that has none, in the state of the shared row that it has been using; or that shared row itself. */
export function rowFor(table: SlotTable, rule: Rule, print: Fingerprint, now: number): number {
  const { cells } = table
  const shared = table.shared(print)
  const at = table.claim(print, now)
  if (at < 0) return shared
  if (cells[shared]! > now) rule.copy(cells, shared, at)
  else cells[at] = 0
  return at
}
