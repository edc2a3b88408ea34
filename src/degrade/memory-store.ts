import { type Mechanism, register } from '../core/mechanism.ts'
import { knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import type { Copy, CopyStore, Kept, Lifetime } from './copy-store.ts'

export interface MemoryStoreOptions {
  /** How many copies are kept. Past that, the one not used for longest goes. @default 10000 */
  readonly maxEntries?: number
  /** @default 'memory-store' */
  readonly name?: string
}

type Changes = Pick<MemoryStoreOptions, 'maxEntries'>

export interface MemoryStoreSnapshot extends Required<Changes> {
  readonly entries: number
  readonly hits: number
  readonly misses: number
  /** Answers that were not kept, because something newer was there. */
  readonly late: number
  /** Copies that had to go to make room. */
  readonly evicted: number
}

export interface MemoryStore extends CopyStore, Mechanism<Changes, MemoryStoreSnapshot> {
  get(key: string, now: number): Copy | undefined
  set(key: string, kept: Kept, lifetime: Lifetime, now: number): void
  delete(key: string, now: number): void
}

/**
 * Keeps copies in the memory of the process: the objects themselves, so nobody should change an answer. At most
 * `maxEntries` of them; what runs out or is deleted leaves a mark that counts as one, until it is pushed out.
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return register(new LruStore(options))
}

interface Entry {
  /** `undefined` for a key that was deleted. */
  readonly kept: Kept | undefined
  readonly askedAt: number
  readonly freshMs: number
  readonly until: number
}

class LruStore implements MemoryStore {
  readonly kind: string = 'memory-store'
  readonly name: string
  /** The one not used for longest comes first. */
  private readonly entries: Map<string, Entry>
  private maxEntries: number
  private hits: number
  private misses: number
  private late: number
  private evicted: number

  constructor(options: MemoryStoreOptions) {
    knownOptions('memoryStore', options, ['maxEntries', 'name'])
    this.name = nameOption('name', options.name ?? 'memory-store')
    this.entries = new Map()
    this.maxEntries = 0
    this.hits = 0
    this.misses = 0
    this.late = 0
    this.evicted = 0
    this.change(options.maxEntries ?? 10_000)
  }

  get(key: string, now: number): Copy | undefined {
    const entry = this.entries.get(key)
    if (entry?.kept === undefined || now > entry.until) {
      // One that has run out stays until it is replaced or pushed out: it still knows what is too old to be kept.
      this.misses++
      return undefined
    }
    this.hits++
    this.entries.delete(key)
    this.entries.set(key, entry)
    return { kept: entry.kept, ageMs: now - entry.askedAt, freshMs: entry.freshMs }
  }

  set(key: string, kept: Kept, lifetime: Lifetime, now: number): void {
    const askedAt = now - lifetime.tookMs
    this.put(key, { kept, askedAt, freshMs: lifetime.freshMs, until: askedAt + lifetime.keepMs })
  }

  delete(key: string, now: number): void {
    this.put(key, { kept: undefined, askedAt: now, freshMs: 0, until: now })
  }

  update(changes: Partial<Changes>): void {
    knownOptions('memoryStore', changes, ['maxEntries'])
    this.change(changes.maxEntries ?? this.maxEntries)
    announceSettings(this, changes)
  }

  snapshot(): MemoryStoreSnapshot {
    const { maxEntries, hits, misses, late, evicted } = this
    return { maxEntries, entries: this.entries.size, hits, misses, late, evicted }
  }

  reset(): void {
    this.entries.clear()
    this.hits = 0
    this.misses = 0
    this.late = 0
    this.evicted = 0
  }

  private put(key: string, entry: Entry): void {
    const held = this.entries.get(key)
    if (held !== undefined && isLate(entry, held)) {
      this.late++
      return
    }
    this.entries.delete(key)
    this.entries.set(key, entry)
    this.shrink()
  }

  private change(maxEntries: number): void {
    this.maxEntries = numberOption('maxEntries', maxEntries, { min: 1, integer: true })
    this.shrink()
  }

  private shrink(): void {
    while (this.entries.size > this.maxEntries) {
      this.entries.delete(this.entries.keys().next().value!)
      this.evicted++
    }
  }
}

/**
 * What was asked for in the very instant of a deletion may have been asked for before it. Not to keep it costs one
 * call more; to keep it would bring back what was deleted.
 */
function isLate(entry: Entry, held: Entry): boolean {
  if (held.askedAt !== entry.askedAt) return held.askedAt > entry.askedAt
  return held.kept === undefined && entry.kept !== undefined
}
