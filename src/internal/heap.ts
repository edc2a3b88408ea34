/** A binary min-heap. `before` says whether its first argument comes out before its second. */
export class Heap<T> {
  private readonly items: T[]
  private readonly before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.items = []
    this.before = before
  }

  get size(): number {
    return this.items.length
  }

  /** The next to come out. */
  peek(): T | undefined {
    return this.items[0]
  }

  push(item: T): void {
    const { items, before } = this
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(item, items[parent]!)) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  pop(): T | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (items.length > 0) this.sink(last!)
    return first
  }

  clear(): void {
    this.items.length = 0
  }

  /** Puts `item` in the place of the first and lets it sink to where it belongs. */
  private sink(item: T): void {
    const { items, before } = this
    const { length } = items
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && before(items[child + 1]!, items[child]!)) child++
      if (!before(items[child]!, item)) break
      items[at] = items[child]!
      at = child
    }
    items[at] = item
  }
}
