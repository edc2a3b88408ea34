import type { Fingerprint } from '../internal/key-hash.ts'
import { KeyHash } from '../internal/key-hash.ts'
import { SlotTable } from '../internal/slot-table.ts'

/**
 * Keys that are denied until a time. As many as the limiter has keys; past that, of the rows that a new block could
 * use, the one whose block would have ended first gives way. Takes no memory until the first block.
 */
export class BlockList {
  /** Blocks so far. */
  count: number
  private readonly maxKeys: number
  private readonly hash: KeyHash
  private table: SlotTable | undefined

  /** @param hash the one that the fingerprints for `leftOf` come from */
  constructor(maxKeys: number, hash: KeyHash = new KeyHash()) {
    this.count = 0
    this.maxKeys = maxKeys
    this.hash = hash
    this.table = undefined
  }

  /** For how long the key is still blocked. */
  left(key: string, now: number): number {
    return this.table === undefined ? 0 : this.leftOf(this.hash.of(key), now)
  }

  leftOf(print: Fingerprint, now: number): number {
    const { table } = this
    if (table === undefined) return 0
    const at = table.find(print)
    const left = at < 0 ? 0 : table.cells[at]! - now
    return left > 0 ? left : 0
  }

  set(key: string, until: number, now: number): void {
    if (until > now) this.count++
    else if (this.table === undefined) return
    this.table ??= new SlotTable(this.maxKeys, 1, this.hash)
    const print = this.hash.of(key)
    let at = this.table.find(print)
    if (at < 0) at = this.table.claim(print, now)
    if (at < 0) at = this.table.takeOver(print)
    this.table.cells[at] = until
  }

  /** Time is counted in other units from here on. */
  rescale(now: number, then: number, ratio: number): void {
    const cells = this.table?.cells
    this.table?.forEach(at => {
      const left = cells![at]! - then
      cells![at] = left > 0 ? now + Math.ceil(left * ratio) : 0
    })
  }

  clear(): void {
    this.count = 0
    this.table = undefined
  }
}
