/**
 * State for very many keys in one typed array of a fixed size, without keeping the keys.
 *
 *   row      [fingerprint, freshAt, ...state]           a fingerprint of 0: nobody's
 *   window   8 neighbouring rows; a key lives in one of its two windows, both computed from its fingerprint
 *   shared   rows behind the windows, one picked by the fingerprint, for keys that find no row of their own
 *
 * `freshAt` is when the row's key is indistinguishable from one never seen. From then on the row is idle and may
 * be given to another key; until then it is nobody else's. Nothing is swept: idle rows are found by those who
 * look for one. When both windows of a new key are busy, one of the 16 rows is moved to its own other window
 * (cuckoo hashing, Pagh and Rodler, 2001); when none can be moved, the key has to use its shared row.
 *
 * Collisions: two keys with the same 53-bit fingerprint are the same key to the table. The hash is keyed with a
 * random secret, so nobody can look for such a pair; among a million keys one exists with a probability of 6e-5.
 */
import { type Fingerprint, KeyHash } from './key-hash.ts'

const WAYS = 8
const TWO_32 = 4294967296
/** Rows per key promised. With 1.12, fifty of a million keys find no row of their own; with 1.25, none did. */
const HEADROOM = 1.3

export class SlotTable {
  /** All rows. `at`, everywhere in this class, is the index of a row's `freshAt`. */
  readonly cells: Float64Array
  readonly maxKeys: number
  /** Keys of a row that was somebody else's before. */
  reused: number
  /** Rows that have been somebody's. */
  used: number
  /** How often there was no row for a new key. */
  full: number
  readonly hash: KeyHash
  private readonly stride: number
  private readonly windows: number
  /** Windows for each of the values of 32 bits. */
  private readonly perBit: number
  private readonly sharedRows: number

  /**
   * @param maxKeys how many busy keys have a row each
   * @param width numbers per key, `freshAt` included
   * @param hash where the fingerprints come from
   */
  constructor(maxKeys: number, width: number, hash: KeyHash = new KeyHash()) {
    this.maxKeys = maxKeys
    this.hash = hash
    this.stride = width + 1
    this.windows = Math.max(2, Math.ceil((maxKeys * HEADROOM) / WAYS))
    this.perBit = this.windows / TWO_32
    this.sharedRows = Math.max(4, Math.ceil(maxKeys / 64))
    this.cells = new Float64Array((this.windows * WAYS + this.sharedRows) * this.stride)
    this.reused = 0
    this.used = 0
    this.full = 0
  }

  /** The key's row, or -1. */
  find(print: Fingerprint): number {
    const { cells, stride } = this
    let row = this.first(print) * WAYS * stride
    for (const end = row + WAYS * stride; row < end; row += stride) if (cells[row] === print) return row + 1
    return this.findSecond(print)
  }

  private findSecond(print: Fingerprint): number {
    const { cells, stride } = this
    // Rows fill in their order and never empty: where the last is nobody's, nobody has been sent on to another window.
    if (cells[(this.first(print) * WAYS + WAYS - 1) * stride] === 0) return -1
    let row = this.second(print) * WAYS * stride
    for (const end = row + WAYS * stride; row < end; row += stride) if (cells[row] === print) return row + 1
    return -1
  }

  /**
   * A row for a key that has none: a free or an idle one, which keeps the state of whoever had it last. -1 when
   * everything within reach is busy.
   */
  claim(print: Fingerprint, now: number): number {
    const first = this.first(print)
    const second = this.second(print)
    let at = this.idleIn(first, now)
    if (at < 0) at = this.idleIn(second, now)
    if (at < 0) at = this.makeRoom(first, now)
    if (at < 0) at = this.makeRoom(second, now)
    if (at < 0) {
      this.full++
      return -1
    }
    if (this.cells[at - 1] === 0) this.used++
    else this.reused++
    this.cells[at - 1] = print
    return at
  }

  /** The row that a key without one of its own shares with others. */
  shared(print: Fingerprint): number {
    return (this.windows * WAYS + ((print >>> 0) % this.sharedRows)) * this.stride + 1
  }

  /** Of the rows that the key could have, the one that will be idle first; it becomes the key's. */
  takeOver(print: Fingerprint): number {
    const { cells } = this
    let best = this.first(print) * WAYS * this.stride + 1
    for (const window of [this.first(print), this.second(print)]) {
      for (let way = 0; way < WAYS; way++) {
        const at = (window * WAYS + way) * this.stride + 1
        if (cells[at]! < cells[best]!) best = at
      }
    }
    cells[best - 1] = print
    return best
  }

  /** Calls `visit` for every row that is or was somebody's, the shared ones included. */
  forEach(visit: (at: number) => void): void {
    const { cells, stride } = this
    const own = this.windows * WAYS * stride
    for (let row = 0; row < cells.length; row += stride) {
      if (row >= own || cells[row] !== 0) visit(row + 1)
    }
  }

  clear(): void {
    this.cells.fill(0)
    this.used = 0
    this.reused = 0
    this.full = 0
  }

  private first(print: Fingerprint): number {
    // Below 2^22, so that cutting off the fraction is one instruction.
    return ((print >>> 0) * this.perBit) | 0
  }

  /** From the bits that `first` uses least, so that keys that share one window do not share the other. */
  private second(print: Fingerprint): number {
    const high = (print - (print >>> 0)) / TWO_32
    return ((((high << 11) | (print & 0x7ff)) >>> 0) * this.perBit) | 0
  }

  private idleIn(window: number, now: number): number {
    const { cells, stride } = this
    let at = window * WAYS * stride + 1
    let idle = -1
    for (let way = 0; way < WAYS; way++, at += stride) {
      if (cells[at - 1] === 0) return at
      if (idle < 0 && cells[at]! <= now) idle = at
    }
    return idle
  }

  /** Swaps a busy row of `window` with an idle one of that row's other window; returns the row that is idle now. */
  private makeRoom(window: number, now: number): number {
    const { cells, stride } = this
    for (let way = 0; way < WAYS; way++) {
      const from = (window * WAYS + way) * stride
      const print = cells[from]!
      const first = this.first(print)
      const to = this.idleIn(first === window ? this.second(print) : first, now) - 1
      if (to < 0) continue
      for (let i = 0; i < stride; i++) {
        const held = cells[to + i]!
        cells[to + i] = cells[from + i]!
        cells[from + i] = held
      }
      return from + 1
    }
    return -1
  }
}
