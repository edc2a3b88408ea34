/**
 * What the keys of a limiter are called in Redis: `spillway:{limiter/slot}:limit:key`.
 *
 * Redis Cluster places a key by what stands in its first pair of braces, so all limits of a call lie on one server.
 * Keys come from strangers. One with braces would move to another server, one with a separator could meet another
 * limit's, and a long one would be sent and stored with every call; those are written as their digest. The digest
 * is marked, and what looks marked is digested as well, so two different keys never become the same.
 */
import { createHash } from 'node:crypto'
import { checkKey } from '../checks.ts'

// Half of a surrogate pair has no bytes of its own in Redis, so it is none of these.
const PLAIN = /^[^{}:#\p{Cc}\p{Cs}][^{}:\p{Cc}\p{Cs}]{0,95}$/u

/** `key` if it can stand in a Redis key as it is, otherwise 144 bits of its SHA-256. */
export function encodeKey(key: string): string {
  // A function that forgot somebody would otherwise give all of those one limit.
  checkKey(key)
  if (PLAIN.test(key)) return key
  return `#${createHash('sha256').update(Buffer.from(key, 'utf16le')).digest('base64url').slice(0, 24)}`
}

const NAME = /^[^{}:/#\p{Cc}\p{Cs}]{1,64}$/u

/** Names stand in every key as they are. */
export function keyName(option: string, name: string): string {
  if (typeof name === 'string' && NAME.test(name)) return name
  throw new TypeError(
    `Expected \`${option}\` to be 1 to 64 characters without any of { } : / #, got ${JSON.stringify(name)}`,
  )
}

export interface KeyedLimit {
  readonly name: string
  readonly keyBy: ((key: string) => string) | undefined
}

export class KeyNames {
  readonly prefix: string
  private readonly limits: readonly KeyedLimit[]
  private readonly slotBy: ((key: string) => string) | undefined

  /** @param slotBy which keys must lie together; by default each on its own, unless a limit spans several */
  constructor(name: string, limits: readonly KeyedLimit[], slotBy?: (key: string) => string) {
    this.prefix = `spillway:{${name}/`
    this.limits = limits
    this.slotBy = slotBy ?? (limits.some(limit => limit.keyBy !== undefined) ? () => '' : undefined)
  }

  /** The key of each limit, then that of the block. */
  of(key: string): string[] {
    const own = encodeKey(key)
    const { slotBy } = this
    const slot = slotBy === undefined ? own : encodeKey(slotBy(key))
    const tag = `${this.prefix}${slot}}:`
    const names: string[] = []
    for (const { name, keyBy } of this.limits) {
      const of = keyBy !== undefined ? encodeKey(keyBy(key)) : own
      names.push(slotBy === undefined ? tag + name : `${tag}${name}:${of}`)
    }
    names.push(slotBy === undefined ? `${tag}#block` : `${tag}#block:${own}`)
    return names
  }
}
