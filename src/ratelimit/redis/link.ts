/**
 * The way to Redis and back, for one limiter. Every question has an answer in `timeoutMs`, whatever Redis, the
 * network and the client do: `undefined` means that the shared state is out of reach.
 *
 *   up     ask; after 3 failures in a row: down
 *   down   ask nothing, but send one probe each `probeEveryMs`, which no call waits for; when it is answered: up
 *
 * While a probe has neither been answered nor failed, the next ones wait twice as long each, up to 5 s, so that a
 * client with a hung connection does not collect commands. What comes after its time is ignored: a late reply to a
 * `take` was charged in Redis and granted to nobody, which is the safe side.
 */
import type { Alarm, Clock } from '../../core/clock.ts'
import { type Context, createContext } from '../../core/context.ts'
import { createEvent, type Event } from '../../core/event.ts'
import type { Handler, Middleware } from '../../core/handler.ts'
import type { Ending, Watcher } from '../../core/scope.ts'
import type { RedisClient } from '../../internal/redis-client.ts'
import type { RedisScript } from '../../internal/redis-script.ts'

const FAILURES_UNTIL_DOWN = 3
const MAX_PROBE_PAUSE_MS = 5_000

/** Redis went out of a limiter's reach, or came back into it. */
export interface RedisReachChange {
  readonly limiter: string
  readonly reachable: boolean
  /** What failed last. */
  readonly error: unknown
}

export const redisReach: Event<RedisReachChange> = createEvent('ratelimit-redis-reach')

/** One script to run. */
export interface Command {
  readonly script: RedisScript
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

export type Reply = readonly any[]

export interface LinkOptions {
  readonly name: string
  readonly client: RedisClient
  readonly clock: Clock
  readonly timeoutMs: number
  readonly probeEveryMs: number
  readonly around: Middleware | undefined
}

export interface LinkSnapshot {
  readonly reachable: boolean
  /** Scripts sent, probes and the work in the background included. */
  readonly commands: number
  readonly timeouts: number
  readonly errors: number
  /** What failed last, in words. */
  readonly lastError: string | undefined
}

export class Link {
  readonly clock: Clock
  readonly timeoutMs: number
  readonly probeEveryMs: number
  private readonly name: string
  private readonly client: RedisClient & { readonly status?: string }
  private readonly send: Handler<Command, unknown>
  /** For what no call waits for. */
  readonly background: Context
  private seenReady: boolean
  private down: boolean
  private failures: number
  private probing: number
  private probeAt: number
  private commands: number
  private timeouts: number
  private errors: number
  private lastError: unknown

  constructor({ name, client, clock, timeoutMs, probeEveryMs, around }: LinkOptions) {
    this.name = name
    this.client = client
    this.clock = clock
    this.timeoutMs = timeoutMs
    this.probeEveryMs = probeEveryMs
    const send: Handler<Command, unknown> = ({ script, keys, args }) => script.run(client, keys, args)
    this.send = around === undefined ? send : around(send)
    this.background = createContext({ clock })
    this.seenReady = false
    this.down = false
    this.failures = 0
    this.probing = 0
    this.probeAt = Number.NEGATIVE_INFINITY
    this.commands = 0
    this.timeouts = 0
    this.errors = 0
    this.lastError = undefined
  }

  /** Whether a call may wait for Redis. */
  get open(): boolean {
    return !this.down && this.connected
  }

  /** How long until the shared state may be asked again. */
  pauseMs(now: number): number {
    return Math.max(1, this.down ? this.probeAt - now : this.probeEveryMs)
  }

  /** The reply, or `undefined` if there is none in time. Rejects only when `context` ends, with what ended it. */
  ask(command: Command, context: Context, now: number): Promise<Reply | undefined> {
    return this.askAnd(command, context, now, reply => reply)
  }

  /** The same, and what `read` makes of it: a call then waits for one promise and not for a row of them. */
  askAnd<T>(
    command: Command,
    context: Context,
    now: number,
    read: (reply: Reply | undefined) => T,
  ): Promise<T> {
    const { scope } = context
    if (scope.ending !== undefined) return Promise.reject(scope.reason)
    return new Promise((resolve, reject) => {
      const ask = new Ask(this, context, now, read, resolve, reject)
      this.clock.arm(ask, now + this.timeoutMs)
      if (!scope.endless) scope.watch(ask)
      this.run(command, context).then(
        reply => ask.answered(reply),
        error => ask.failed(error),
      )
    })
  }

  /** Sends `command` in the background if it is time to see whether Redis is back. */
  probe(command: Command, now: number): void {
    if (now < this.probeAt) return
    if (!this.connected) {
      this.probeAt = now + this.probeEveryMs
      // A client that was never told to connect does so with its first command.
      if (this.client.status !== 'wait') return
    }
    this.down = true
    this.probeAt = now + Math.min(MAX_PROBE_PAUSE_MS, this.probeEveryMs * 2 ** this.probing)
    this.probing++
    const until = now + this.timeoutMs
    const over = (): void => {
      this.probing = Math.max(0, this.probing - 1)
    }
    this.run(command, this.background).then(
      reply => {
        over()
        // An answer that came too late to be of use says that it is worth trying again, at once.
        if (!Array.isArray(reply) || this.clock.now() > until) this.probeAt = Number.NEGATIVE_INFINITY
        else this.succeeded()
      },
      error => {
        over()
        this.failed(error)
      },
    )
  }

  /** @internal */
  succeeded(): void {
    this.failures = 0
    this.seenReady = true
    if (!this.down) return
    this.down = false
    this.probing = 0
    if (redisReach.active) redisReach.emit({ limiter: this.name, reachable: true, error: this.lastError })
  }

  /** @internal `undefined`: no answer in time. */
  failed(error: unknown): void {
    if (error === undefined) this.timeouts++
    else this.errors++
    this.lastError = error ?? new Error(`Redis did not answer in ${this.timeoutMs} ms`)
    if (++this.failures < FAILURES_UNTIL_DOWN || this.down) return
    this.down = true
    this.probeAt = this.clock.now() + this.probeEveryMs
    if (redisReach.active) redisReach.emit({ limiter: this.name, reachable: false, error: this.lastError })
  }

  snapshot(): LinkSnapshot {
    const { lastError } = this
    return {
      reachable: this.open,
      commands: this.commands,
      timeouts: this.timeouts,
      errors: this.errors,
      lastError: lastError instanceof Error ? lastError.message : lastError && String(lastError),
    } as LinkSnapshot
  }

  private run(command: Command, context: Context): Promise<unknown> {
    this.commands++
    try {
      return this.send(command, context)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** What is sent to a client without a connection would wait in its queue and be done whenever that comes back. */
  private get connected(): boolean {
    const { status } = this.client
    if (status === undefined || status === 'ready') {
      this.seenReady = true
      return true
    }
    return !this.seenReady && (status === 'connecting' || status === 'connect' || status === 'wait')
  }
}

/** A call that waits for its reply. It is settled once: by the reply, by the time, or by the end of the call. */
class Ask<T> implements Alarm, Watcher {
  readonly keepAlive: boolean
  at: number
  next: Alarm | undefined
  previous: Alarm | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined
  private readonly link: Link
  private readonly context: Context
  private readonly read: (reply: Reply | undefined) => T
  private readonly resolve: (value: T) => void
  private readonly reject: (error: unknown) => void
  private readonly sentAt: number
  private over: boolean

  constructor(
    link: Link,
    context: Context,
    sentAt: number,
    read: (reply: Reply | undefined) => T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ) {
    // Somebody waits for the answer.
    this.keepAlive = true
    this.at = 0
    this.next = undefined
    this.previous = undefined
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    this.link = link
    this.context = context
    this.read = read
    this.resolve = resolve
    this.reject = reject
    this.sentAt = sentAt
    this.over = false
  }

  answered(reply: unknown): void {
    if (this.over) return
    this.close()
    if (Array.isArray(reply)) {
      this.link.succeeded()
      this.settle(reply)
    } else {
      this.link.failed(new TypeError(`Expected a list from Redis, got ${typeof reply}`))
      this.settle(undefined)
    }
  }

  failed(error: unknown): void {
    if (this.over) return
    this.close()
    this.link.failed(error ?? new Error('failed without an error'))
    this.settle(undefined)
  }

  /**
   * @internal No answer in time. One that lies in the socket already, because this process was busy, still counts: it
   * is read before the immediate runs.
   */
  ring(): void {
    setImmediate(() => this.expire())
  }

  private expire(): void {
    if (this.over) return
    this.close()
    this.link.failed(undefined)
    this.settle(undefined)
  }

  /**
   * @internal Nobody waits any more. That says nothing about Redis, unless it had a good part of its time: where all
   * calls have less than `timeoutMs`, nothing else would show that it hangs.
   */
  scopeEnded(ending: Ending, reason: unknown): void {
    if (this.over) return
    this.close()
    const { timeoutMs, clock } = this.link
    if (ending === 'timeout' && clock.now() >= this.sentAt + timeoutMs / 5) this.link.failed(undefined)
    this.reject(reason)
  }

  private settle(reply: Reply | undefined): void {
    try {
      this.resolve(this.read(reply))
    } catch (error) {
      this.reject(error)
    }
  }

  private close(): void {
    this.over = true
    this.link.clock.disarm(this)
    if (!this.context.scope.endless) this.context.scope.unwatch(this)
  }
}
