import { type Clock, systemClock } from '../../core/clock.ts'
import { type Mechanism, register } from '../../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../../core/options.ts'
import { announceSettings } from '../../core/settings.ts'
import { warn } from '../../core/warn.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import { redisScript } from '../../internal/redis-script.ts'
import { after } from '../../internal/timer.ts'
import { storeFailed } from '../events.ts'
import type { ManualSetting, Switches } from '../switches.ts'

export interface RedisSwitchesOptions<Name extends string> {
  /** A client of ioredis, `Redis` or `Cluster`. */
  readonly client: RedisClient
  /** What is switched here by what is set there. */
  readonly switches: Switches<Name>
  /** Where the settings lie. Services may share it: each heeds the names that it has. @default 'spillway:switches' */
  readonly key?: string
  /** How long a change takes to arrive, at most. @default 1000 */
  readonly pollMs?: number
  /** @default 'redis-switches' */
  readonly name?: string
  /** @default the process's own */
  readonly clock?: Clock
}

export interface RedisSwitchesSnapshot {
  readonly pollMs: number
  /** How often it has looked. */
  readonly polls: number
  /** How often Redis could not be asked. */
  readonly failures: number
  /** How long ago Redis was last heard; `undefined` for never. */
  readonly heardMsAgo: number | undefined
}

export interface RedisSwitches<Name extends string>
  extends Mechanism<{ readonly pollMs: number }, RedisSwitchesSnapshot>,
    Disposable {
  /** Sets a switch by hand, in every process. */
  set(name: Name, setting: ManualSetting): Promise<void>
  /** Takes back what was set by hand, in every process. */
  clear(name: Name): Promise<void>
  /** Looks now, and not only when it is time to. */
  refresh(): Promise<void>
  /** Stops looking. What was set stays until its time is over. */
  close(): void
}

/**
 * Switches that are set in one place for many processes. Each looks there every `pollMs`, and keeps what it knows
 * while Redis is away: a setting still ends when its time is over, on whatever clock is at hand.
 *
 * A setting that was made in the process itself holds until the one in Redis changes.
 */
export function redisSwitches<const Name extends string>(
  options: RedisSwitchesOptions<Name>,
): RedisSwitches<Name> {
  return register(new RemoteSwitches(options))
}

const now = "local t = redis.call('TIME')\nlocal now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

// A field holds the time at which it ends, 0 for never, a space, and the setting. Those that have ended are cleared away.
const read = redisScript(`${now}
local fields = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #fields, 2 do
  local ends = tonumber(string.match(fields[i + 1], '^(%d+) '))
  if ends and ends > 0 and ends <= now then
    redis.call('HDEL', KEYS[1], fields[i])
  else
    found[#found + 1] = fields[i]
    found[#found + 1] = fields[i + 1]
    found[#found + 1] = (ends and ends > 0) and string.format('%.0f', ends - now) or ''
  end
end
return found
`)

const write = redisScript(`${now}
local ends = 0
if ARGV[3] ~= '' then ends = now + ARGV[3] end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', ends) .. ' ' .. ARGV[2])
`)

const clear = redisScript(`redis.call('HDEL', KEYS[1], ARGV[1])`)

class RemoteSwitches<Name extends string> implements RedisSwitches<Name> {
  readonly kind: string = 'redis-switches'
  readonly name: string
  private readonly client: RedisClient
  private readonly switches: Switches<Name>
  private readonly key: string
  private readonly clock: Clock
  /** What each switch was last told, so that only a change tells it again. */
  private readonly told: Map<Name, string>
  private pollMs: number
  private polls: number
  private failures: number
  private heardAt: number | undefined
  /** The last look whose result was taken over. */
  private latest: number
  private disarm: () => void
  private closed: boolean

  constructor(options: RedisSwitchesOptions<Name>) {
    knownOptions('redisSwitches', options, ['client', 'switches', 'key', 'pollMs', 'name', 'clock'])
    functionOption('client.evalsha', options.client?.evalsha)
    functionOption('switches.set', options.switches?.set)
    this.client = options.client
    this.switches = options.switches
    this.name = nameOption('name', options.name ?? 'redis-switches')
    this.key = nameOption('key', options.key ?? 'spillway:switches')
    this.clock = options.clock ?? systemClock
    this.told = new Map()
    this.pollMs = checkPoll(options.pollMs ?? 1000)
    this.polls = 0
    this.failures = 0
    this.heardAt = undefined
    this.latest = 0
    this.disarm = () => {}
    this.closed = false
    this.poll()
  }

  async set(name: Name, setting: ManualSetting): Promise<void> {
    const { ttlMs = 3_600_000, ...rest } = setting
    // Checks everything, and there is no need to wait for the next look.
    this.switches.set(name, setting)
    const lasts = ttlMs === Infinity ? '' : Math.ceil(ttlMs)
    await write.run(this.client, [this.key], [name, JSON.stringify(rest), lasts])
    await this.refresh()
  }

  async clear(name: Name): Promise<void> {
    this.switches.clear(name)
    await clear.run(this.client, [this.key], [name])
    await this.refresh()
  }

  async refresh(): Promise<void> {
    this.polls++
    const look = this.polls
    let found: readonly string[]
    try {
      found = (await read.run(this.client, [this.key], [])) as string[]
    } catch (error) {
      this.failures++
      if (storeFailed.active) storeFailed.emit({ policy: this.name, doing: 'read', error })
      throw error
    }
    // A look that was overtaken by a later one has nothing new to say.
    if (look < this.latest) return
    this.latest = look
    this.heardAt = this.clock.now()
    this.heed(found)
  }

  close(): void {
    this.closed = true
    this.disarm()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  update(changes: Partial<{ readonly pollMs: number }>): void {
    knownOptions('redisSwitches', changes, ['pollMs'])
    this.pollMs = checkPoll(changes.pollMs ?? this.pollMs)
    announceSettings(this, changes)
  }

  snapshot(): RedisSwitchesSnapshot {
    const { pollMs, polls, failures, heardAt } = this
    return {
      pollMs,
      polls,
      failures,
      heardMsAgo: heardAt === undefined ? undefined : this.clock.now() - heardAt,
    }
  }

  reset(): void {
    this.failures = 0
  }

  private poll(): void {
    const next = (): void => {
      if (!this.closed) this.disarm = after(this.clock, this.pollMs, () => this.poll())
    }
    this.refresh().then(next, next)
  }

  /** Takes over what has changed since it was last heard. */
  private heed(found: readonly string[]): void {
    const settings = new Map<string, { readonly text: string; readonly leftMs: number }>()
    for (let i = 0; i + 2 < found.length; i += 3) {
      settings.set(found[i]!, {
        text: found[i + 1]!,
        leftMs: found[i + 2] === '' ? Infinity : Number(found[i + 2]),
      })
    }
    for (const name of this.switches.names) {
      const setting = settings.get(name)
      if (setting?.text === this.told.get(name)) continue
      if (setting === undefined) {
        this.told.delete(name)
        this.switches.clear(name)
      } else {
        this.told.set(name, setting.text)
        this.apply(name, setting.text, setting.leftMs)
      }
    }
  }

  /** What somebody else wrote there may make no sense here; it is then as good as not written. */
  private apply(name: Name, text: string, ttlMs: number): void {
    try {
      const setting = JSON.parse(text.slice(text.indexOf(' ') + 1)) as ManualSetting
      this.switches.set(name, { ...setting, ttlMs })
    } catch (error) {
      warn('SPILLWAY_SWITCH_IGNORED', `${this.name} cannot set ${name} from Redis: ${String(error)}`)
    }
  }
}

function checkPoll(pollMs: unknown): number {
  return numberOption('pollMs', pollMs, { min: 10 })
}
