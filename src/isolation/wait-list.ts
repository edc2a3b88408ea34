/** Something that stands in a line. The links belong to the line; it stands in at most one. */
export interface Queued {
  list: WaitList | undefined
  before: Queued | undefined
  after: Queued | undefined
}

/** A line that can be left from anywhere in the same few pointer writes. */
export class WaitList {
  size: number
  first: Queued | undefined
  last: Queued | undefined

  constructor() {
    this.size = 0
    this.first = undefined
    this.last = undefined
  }

  push(entry: Queued): void {
    const { last } = this
    entry.list = this
    entry.before = last
    entry.after = undefined
    if (last === undefined) this.first = entry
    else last.after = entry
    this.last = entry
    this.size++
  }

  /** Takes `entry` out, wherever it stands; it must stand here. */
  remove(entry: Queued): void {
    const { before, after } = entry
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    entry.list = undefined
    entry.before = undefined
    entry.after = undefined
    this.size--
  }
}
