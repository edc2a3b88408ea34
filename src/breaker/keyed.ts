import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'

/** A mechanism that can say whether it must not be forgotten at this moment. */
export type Keepable = Mechanism & { holding?(now: number): boolean }

export interface KeyedOptions {
  /** The most keys that are held. @default 1_000 */
  readonly max?: number
  /** A key that has not been asked for this long is forgotten. @default 600_000 */
  readonly idleMs?: number
  /** Names the registry; one with a name is listed by `inspect()`. @default 'keyed' */
  readonly name?: string
}

export interface KeyedSnapshot {
  readonly size: number
  readonly max: number
  /** Keys forgotten since the last reset. */
  readonly evicted: number
  /** Calls of keys that found no place, since the last reset. */
  readonly crowded: number
  /** The snapshots of the keys that were asked for last, at most a hundred of them. */
  readonly keys: Readonly<Record<string, object>>
  /** The snapshot of the mechanism that keys without a place share. */
  readonly others: object
}

const SNAPSHOT_KEYS = 100
/** How many of the longest unused keys are looked at to find room for a new one. */
const CANDIDATES = 8

interface Entry<M> {
  readonly key: string
  readonly mechanism: M
  usedAt: number
  newer: Entry<M> | undefined
  older: Entry<M> | undefined
}

/**
 * One mechanism for each key, made when the key first comes: a circuit for every endpoint, a throttle for every
 * backend. `factory` is called once more at the start, with `'*'`, for the mechanism of keys without a place.
 */
export function keyed<M extends Keepable>(factory: (key: string) => M, options: KeyedOptions = {}): Keyed<M> {
  knownOptions('keyed', options, ['max', 'idleMs', 'name'])
  const made = new Keyed(functionOption('factory', factory), options)
  return options.name === undefined ? made : register(made)
}

/**
 * Mechanisms by key, at most `max` of them. The key that has gone unused the longest makes room for a new one, but
 * one that keeps calls away or is held by hand (`holding`) is passed over: otherwise a stream of new keys could reset
 * it. Where everything that is looked at holds, the new key has no place, and shares one mechanism with all such keys.
 */
export class Keyed<M extends Keepable> implements Mechanism<KeyedOptions, KeyedSnapshot> {
  readonly kind = 'keyed'
  readonly name: string
  /** The mechanism of keys that found no place. */
  readonly others: M
  private readonly factory: (key: string) => M
  private readonly entries: Map<string, Entry<M>>
  private max: number
  private idleMs: number
  private newest: Entry<M> | undefined
  private oldest: Entry<M> | undefined
  private evicted: number
  private crowded: number

  /** @internal Use `keyed`. */
  constructor(factory: (key: string) => M, options: KeyedOptions) {
    this.name = nameOption('name', options.name ?? 'keyed')
    this.max = maxOption(options.max ?? 1_000)
    this.idleMs = idleOption(options.idleMs ?? 600_000)
    this.factory = factory
    this.others = factory('*')
    this.entries = new Map()
    this.newest = undefined
    this.oldest = undefined
    this.evicted = 0
    this.crowded = 0
  }

  get size(): number {
    return this.entries.size
  }

  /** The mechanism of `key`, made now if need be. */
  get(key: string, now: number): M {
    const entry = this.entries.get(key)
    if (entry !== undefined) {
      entry.usedAt = now
      if (entry !== this.newest) {
        this.unlink(entry)
        this.link(entry)
      }
      return entry.mechanism
    }
    this.sweep(now)
    if (this.entries.size >= this.max && !this.makeRoom(now)) {
      this.crowded++
      return this.others
    }
    return this.add(key, now)
  }

  /** The mechanism of `key` if it has one; does not count as a use. */
  peek(key: string): M | undefined {
    return this.entries.get(key)?.mechanism
  }

  /** Forgets one key: its endpoint is gone. */
  delete(key: string): boolean {
    const entry = this.entries.get(key)
    if (entry === undefined) return false
    this.remove(entry)
    return true
  }

  /** Takes effect as new keys come. */
  update(options: Partial<KeyedOptions>): void {
    knownOptions('keyed.update', options, ['max', 'idleMs'])
    const max = maxOption(options.max ?? this.max)
    const idleMs = idleOption(options.idleMs ?? this.idleMs)
    this.max = max
    this.idleMs = idleMs
    announceSettings(this, options)
  }

  snapshot(): KeyedSnapshot {
    const keys: [key: string, snapshot: object][] = []
    let entry = this.newest
    for (let count = 0; entry !== undefined && count < SNAPSHOT_KEYS; count++, entry = entry.older) {
      keys.push([entry.key, entry.mechanism.snapshot()])
    }
    const { size, max, evicted, crowded } = this
    // A key may be called `__proto__`, which an assignment would take for something else.
    return { size, max, evicted, crowded, keys: Object.fromEntries(keys), others: this.others.snapshot() }
  }

  /** Forgets every key. */
  reset(): void {
    this.entries.clear()
    this.newest = undefined
    this.oldest = undefined
    this.evicted = 0
    this.crowded = 0
    this.others.reset()
  }

  /** Forgets keys that have gone unused too long; two for each one that comes, so that they cannot pile up. */
  private sweep(now: number): void {
    for (let count = 0; count < 2; count++) {
      const { oldest } = this
      if (oldest === undefined || now - oldest.usedAt <= this.idleMs) return
      this.passOver(oldest, now)
    }
  }

  private makeRoom(now: number): boolean {
    for (let count = 0; count < CANDIDATES && this.entries.size >= this.max; count++) {
      const { oldest } = this
      if (oldest === undefined) break
      this.passOver(oldest, now)
    }
    return this.entries.size < this.max
  }

  /** Forgets a key, or puts it at the front if it must be kept. */
  private passOver(entry: Entry<M>, now: number): void {
    if (entry.mechanism.holding?.(now) !== true) {
      this.evicted++
      this.remove(entry)
      return
    }
    entry.usedAt = now
    this.unlink(entry)
    this.link(entry)
  }

  private add(key: string, now: number): M {
    const mechanism = this.factory(key)
    const entry: Entry<M> = { key, mechanism, usedAt: now, newer: undefined, older: undefined }
    this.entries.set(key, entry)
    this.link(entry)
    return mechanism
  }

  private remove(entry: Entry<M>): void {
    this.entries.delete(entry.key)
    this.unlink(entry)
  }

  private link(entry: Entry<M>): void {
    const { newest } = this
    entry.older = newest
    entry.newer = undefined
    if (newest === undefined) this.oldest = entry
    else newest.newer = entry
    this.newest = entry
  }

  private unlink(entry: Entry<M>): void {
    const { newer, older } = entry
    if (newer === undefined) this.newest = older
    else newer.older = older
    if (older === undefined) this.oldest = newer
    else older.newer = newer
  }
}

function maxOption(max: unknown): number {
  return numberOption('max', max, { min: 1, integer: true })
}

function idleOption(idleMs: unknown): number {
  return numberOption('idleMs', idleMs, { min: 0, above: true, infinite: true })
}
