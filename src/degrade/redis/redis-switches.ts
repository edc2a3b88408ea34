import { type Clock, systemClock } from '../../core/clock.ts'
import { type Mechanism, register } from '../../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../../core/options.ts'
import { announceSettings } from '../../core/settings.ts'
import { warn } from '../../core/warn.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import { type RedisScript, redisScript } from '../../internal/redis-script.ts'
import { settleBefore } from '../../internal/settle-within.ts'
import { after } from '../../internal/timer.ts'
import { type StoreFailure, storeFailed } from '../events.ts'
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
  /** How long Redis may take to answer; past that it counts as away. @default 1000 */
  readonly timeoutMs?: number
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
  /**
   * Sets a switch by hand, in every process; in this one, from when Redis has it. Fails when Redis cannot be reached,
   * and changes nothing here then. If Redis was too slow to answer it may have it all the same: the next look tells.
   */
  set(name: Name, setting: ManualSetting): Promise<void>
  /** Takes back what was set by hand, in every process. Fails as `set` does. */
  clear(name: Name): Promise<void>
  /** Looks now, and not only when it is time to. */
  refresh(): Promise<void>
  /**
   * Stops looking, and heeds nothing that Redis still has to say. What was set stays until its time is over. Whoever
   * sets, clears or looks afterwards gets an error.
   */
  close(): void
}

/**
 * Switches that are set in one place for many processes. Each looks there every `pollMs`, and keeps what it knows
 * while Redis is away: a setting still ends when its time is over, on whatever clock is at hand.
 *
 * What is set through it holds nowhere before Redis has it: no process has a setting that the others will not have.
 * A setting that was made in the process itself, on its own switches, holds until the one in Redis changes.
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
  private readonly timeoutMs: number
  private pollMs: number
  private polls: number
  private failures: number
  private heardAt: number | undefined
  /** The last look whose result was taken over. */
  private latest: number
  private disarm: () => void
  private closed: boolean

  constructor(options: RedisSwitchesOptions<Name>) {
    knownOptions('redisSwitches', options, [
      'client',
      'switches',
      'key',
      'pollMs',
      'timeoutMs',
      'name',
      'clock',
    ])
    functionOption('client.evalsha', options.client?.evalsha)
    functionOption('switches.set', options.switches?.set)
    const { timeoutMs = 1000 } = options
    this.timeoutMs = numberOption('timeoutMs', timeoutMs, { min: 0, above: true })
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
    this.switches.check(name, setting)
    const { ttlMs = 3_600_000, ...rest } = setting
    const lasts = ttlMs === Infinity ? '' : Math.ceil(ttlMs)
    await this.change('write', write, [name, JSON.stringify(rest), lasts], () =>
      this.switches.set(name, setting),
    )
  }

  async clear(name: Name): Promise<void> {
    this.switches.check(name, { level: 0 })
    await this.change('delete', clear, [name], () => this.switches.clear(name))
  }

  async refresh(): Promise<void> {
    this.polls++
    const look = this.polls
    const found = (await this.ask('read', read, [])) as string[]
    // One that was overtaken by a later one has nothing new to say, and after `close` nobody listens.
    if (look < this.latest || this.closed) return
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

  /** Changes what lies in Redis; once that is done, what holds here too. */
  private async change(
    doing: 'write' | 'delete',
    script: RedisScript,
    args: readonly (string | number)[],
    here: () => void,
  ): Promise<void> {
    await this.ask(doing, script, args)
    if (this.closed) return
    here()
    // So that a look from before the change, which is still under way, does not undo it. The change is made, whatever
    // becomes of this.
    await this.refresh().catch(() => undefined)
  }

  private async ask(
    doing: StoreFailure['doing'],
    script: RedisScript,
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const { name, timeoutMs, clock } = this
    if (this.closed) throw new Error(`${name} has been closed`)
    const late = (): Error => new Error(`${name}: Redis has not answered in ${timeoutMs} ms`)
    try {
      return await settleBefore(clock, timeoutMs, script.run(this.client, [this.key], args), late)
    } catch (error) {
      this.failures++
      if (storeFailed.active) storeFailed.emit({ policy: name, doing, error })
      throw error
    }
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
