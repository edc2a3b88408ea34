import { type Mechanism, register } from '../../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../../core/options.ts'
import { announceSettings } from '../../core/settings.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import { redisScript } from '../../internal/redis-script.ts'
import type { Copy, CopyStore, Kept, Lifetime } from '../copy-store.ts'

export interface RedisStoreOptions {
  /** A client of ioredis, `Redis` or `Cluster`. Best without an offline queue: what cannot be asked now is not needed later. */
  readonly client: RedisClient
  /** Stands before every key. @default 'spillway:copy:' */
  readonly prefix?: string
  /** An answer longer than this, in characters as encoded, is not kept. @default 1000000 */
  readonly maxLength?: number
  /**
   * For how long after a copy has run out or was deleted it is remembered when it was asked for, so that an answer
   * from before that is not kept. Longer than any call takes. @default 60000
   */
  readonly rememberMs?: number
  /** What it throws on is not kept. @default JSON.stringify */
  readonly encode?: (kept: Kept) => string
  /** The reverse of `encode`. What it throws on counts as not there. @default JSON.parse */
  readonly decode?: (text: string) => Kept
  /** @default 'redis-store' */
  readonly name?: string
}

type Changes = Pick<RedisStoreOptions, 'maxLength' | 'rememberMs'>

export interface RedisStoreSnapshot extends Required<Changes> {
  readonly hits: number
  readonly misses: number
  readonly writes: number
  /** Answers that were not kept, because something newer was there. */
  readonly late: number
  /** Answers that were too long. */
  readonly tooLong: number
  /** Copies that could not be decoded, and answers that could not be encoded. */
  readonly garbled: number
}

export interface RedisStore extends CopyStore, Mechanism<Changes, RedisStoreSnapshot> {
  get(key: string): Promise<Copy | undefined>
  set(key: string, kept: Kept, lifetime: Lifetime): Promise<void>
  delete(key: string): Promise<void>
}

/**
 * Keeps copies in Redis, for all processes, on the clock of the server. Each reading and each writing is one round
 * trip, and touches one key, so that a cluster will do.
 *
 * When an answer was asked for is counted back from when it arrives at the server. Two calls whose answers travel
 * for different times can therefore be taken to have begun in the other order, if they began within that difference.
 */
export function redisStore(options: RedisStoreOptions): RedisStore {
  return register(new Store(options))
}

const now = "local t = redis.call('TIME')\nlocal now = t[1] * 1000 + t[2] / 1000\n"

const read = redisScript(`${now}
local held = redis.call('HMGET', KEYS[1], 'value', 'asked', 'fresh', 'keep')
if not held[1] then return false end
local age = now - held[2]
-- A clock that was put back makes no copy younger.
if age < 0 or age > tonumber(held[4]) then return false end
return { held[1], string.format('%.3f', age), held[3] }
`)

// ARGV: the value, how long it took, how long it is fresh, how long it is kept, how long its time is remembered.
const write = redisScript(`${now}
local asked = now - ARGV[2]
local held = redis.call('HGET', KEYS[1], 'asked')
if held and tonumber(held) > asked then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'asked', string.format('%.3f', asked), 'fresh', ARGV[3], 'keep', ARGV[4])
redis.call('PEXPIRE', KEYS[1], math.ceil(math.max(ARGV[4] - ARGV[2], 0) + ARGV[5]))
return 1
`)

const forget = redisScript(`${now}
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'asked', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1]))
`)

const changeable = ['maxLength', 'rememberMs'] as const
/** In these states the client would only keep a command for later. */
const AWAY = ['reconnecting', 'close', 'end']

class Store implements RedisStore {
  readonly kind: string = 'redis-store'
  readonly name: string
  private readonly client: RedisClient
  private readonly prefix: string
  private readonly encode: (kept: Kept) => string
  private readonly decode: (text: string) => Kept
  private maxLength: number
  private rememberMs: number
  private hits: number
  private misses: number
  private writes: number
  private late: number
  private tooLong: number
  private garbled: number

  constructor(options: RedisStoreOptions) {
    knownOptions('redisStore', options, [...changeable, 'client', 'prefix', 'encode', 'decode', 'name'])
    functionOption('client.evalsha', options.client?.evalsha)
    this.client = options.client
    this.name = nameOption('name', options.name ?? 'redis-store')
    this.prefix = options.prefix ?? 'spillway:copy:'
    this.encode = functionOption('encode', options.encode ?? JSON.stringify)
    this.decode = functionOption('decode', options.decode ?? decodeJson)
    this.maxLength = 0
    this.rememberMs = 0
    this.hits = 0
    this.misses = 0
    this.writes = 0
    this.late = 0
    this.tooLong = 0
    this.garbled = 0
    this.change(options.maxLength ?? 1_000_000, options.rememberMs ?? 60_000)
  }

  async get(key: string): Promise<Copy | undefined> {
    const found = (await read.run(this.reach(), [this.prefix + key], [])) as [string, string, string] | null
    const kept = found === null ? undefined : this.understand(found[0])
    if (found === null || kept === undefined) {
      this.misses++
      return undefined
    }
    this.hits++
    return { kept, ageMs: Number(found[1]), freshMs: Number(found[2]) }
  }

  async set(key: string, kept: Kept, { tookMs, freshMs, keepMs }: Lifetime): Promise<void> {
    const text = this.put(kept)
    if (text === undefined) return
    if (text.length > this.maxLength) {
      this.tooLong++
      return
    }
    const args = [text, tookMs, freshMs, keepMs, this.rememberMs]
    if ((await write.run(this.reach(), [this.prefix + key], args)) === 1) this.writes++
    else this.late++
  }

  async delete(key: string): Promise<void> {
    await forget.run(this.reach(), [this.prefix + key], [this.rememberMs])
  }

  update(changes: Partial<Changes>): void {
    knownOptions('redisStore', changes, changeable)
    this.change(changes.maxLength ?? this.maxLength, changes.rememberMs ?? this.rememberMs)
    announceSettings(this, changes)
  }

  snapshot(): RedisStoreSnapshot {
    const { maxLength, rememberMs, hits, misses, writes, late, tooLong, garbled } = this
    return { maxLength, rememberMs, hits, misses, writes, late, tooLong, garbled }
  }

  reset(): void {
    this.hits = 0
    this.misses = 0
    this.writes = 0
    this.late = 0
    this.tooLong = 0
    this.garbled = 0
  }

  private change(maxLength: number, rememberMs: number): void {
    numberOption('maxLength', maxLength, { min: 1, integer: true })
    numberOption('rememberMs', rememberMs, { min: 1 })
    this.maxLength = maxLength
    this.rememberMs = rememberMs
  }

  /** The client, unless it would only keep the command until Redis is back. */
  private reach(): RedisClient {
    const { status } = this.client as { readonly status?: string }
    if (status === undefined || !AWAY.includes(status)) return this.client
    throw new Error(`${this.name}: the client is not connected (${status})`)
  }

  /** One answer that has no text says nothing of the store, which is there for all the others. */
  private put(kept: Kept): string | undefined {
    try {
      const text = this.encode(kept)
      if (typeof text === 'string') return text
    } catch {}
    this.garbled++
    return undefined
  }

  private understand(text: string): Kept | undefined {
    try {
      return this.decode(text)
    } catch {
      this.garbled++
      return undefined
    }
  }
}

/** JSON has no `undefined`: an answer of that kind comes back as a record without one. */
function decodeJson(text: string): Kept {
  const kept = JSON.parse(text) as { value?: unknown; error?: unknown } | null
  if (typeof kept !== 'object' || kept === null) throw new TypeError('not something kept')
  if (typeof kept.error === 'object' && kept.error !== null) return kept as Kept
  return { value: kept.value }
}
