import { systemClock } from '../../core/clock.ts'
import type { Criticality } from '../../core/criticality.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { warn } from '../../core/warn.ts'
import { pressureText } from '../../internal/pressure-field.ts'
import { importanceOf, ShedCall } from '../../shedding/call.ts'
import { type Runner, runnerOf, type Shedder, type ShedTask } from '../../shedding/index.ts'
import { toldPressure } from '../../shedding/told-pressure.ts'
import { checkInbound, type Inbound, type InboundOptions, type ReadHeader, readInbound } from './inbound.ts'

/** What a shedder in front of a server is told of what comes in. */
export interface ShedEntryOptions<Req> extends InboundOptions {
  /** What is asked for; `adaptive` learns route by route what a call costs. */
  readonly route?: (request: Req) => string | undefined
  /** @default what a trusted peer says, else 'critical' */
  readonly criticality?: (request: Req) => Criticality | undefined
  /** @default what a trusted peer says */
  readonly tenant?: (request: Req) => string | undefined
  /** What is never refused and never waits. */
  readonly exempt?: (request: Req) => boolean
  /** Adds `x-pressure`, from 0 to 1, to the answers given while the shedder is pressed. @default true */
  readonly headers?: boolean
  /** Spreads the times that refused clients are told to stay away. @default Math.random */
  readonly random?: () => number
}

const functions = ['route', 'criticality', 'tenant', 'exempt', 'random'] as const

/** What is done where the options say nothing. */
interface Defaults<Req> {
  readonly route: (request: Req) => string
  readonly exempt: (request: Req) => boolean
}

/** A task that knows whether it has been told what becomes of it. */
interface EnteringTask extends ShedTask {
  readonly told: boolean
}

/**
 * What lies between the calls that come to a server and a shedder, whatever they come by. Whatever goes wrong here
 * lets a call through.
 */
export class ShedEntry<Req> {
  readonly shedder: Shedder
  readonly random: () => number
  private readonly runner: Runner
  private readonly options: ShedEntryOptions<Req>
  private readonly route: (request: Req) => string | undefined
  private readonly exempt: (request: Req) => boolean
  private readonly tells: boolean
  /** What a call says that says nothing of itself. */
  private readonly silent: Inbound

  constructor(owner: string, shedder: Shedder, options: ShedEntryOptions<Req>, defaults: Defaults<Req>) {
    knownOptions(owner, options, [...functions, 'timeoutMs', 'trustPeers', 'headers'])
    for (const key of functions) {
      if (options[key] !== undefined) functionOption(key, options[key])
    }
    checkInbound(options)
    this.shedder = shedder
    this.random = options.random ?? Math.random
    this.runner = runnerOf(shedder)
    this.options = options
    this.route = options.route ?? defaults.route
    this.exempt = options.exempt ?? defaults.exempt
    this.tells = options.headers !== false
    this.silent = readInbound(() => undefined, options)
  }

  /** A connection has been accepted. */
  connected(): void {
    this.runner.connected()
  }

  /**
   * The call to ask about, which has `leftMs` at most; nothing for one that is exempt, or that nobody can make sense
   * of. Without `read` it says nothing of itself.
   */
  callFor(
    request: Req,
    read: ReadHeader | undefined,
    leftMs: number,
    task: EnteringTask,
  ): ShedCall | undefined {
    const { options } = this
    try {
      if (this.exempt(request)) {
        this.shedder.exempt()
        return undefined
      }
      const inbound = read === undefined ? this.silent : readInbound(read, options)
      const { timeoutMs = Infinity, attempt = 1 } = inbound
      const left = Math.min(leftMs, timeoutMs)
      return new ShedCall(
        importanceOf(options.criticality?.(request) ?? inbound.criticality),
        attempt > 1,
        options.tenant === undefined ? inbound.tenant : options.tenant(request),
        this.route(request),
        left === Infinity ? Infinity : systemClock.now() + left,
        task,
      )
    } catch (error) {
      this.broken(error)
      return undefined
    }
  }

  /** Asks the shedder. False if nobody knows what becomes of the call, which then is to be served. */
  submit(call: ShedCall, task: EnteringTask): boolean {
    try {
      this.runner.submit(call)
      return true
    } catch (error) {
      // What the handler throws is not ours to catch.
      if (task.told) throw error
      this.broken(error)
      return false
    }
  }

  /** How hard the shedder is pressed, for those who are to be told. */
  pressureAt(now: number): number {
    return this.tells ? toldPressure(this.shedder, now) : 0
  }

  /** What the answer to a call that begins says of the pressure; mostly nothing. */
  pressureFor(call: ShedCall): string | undefined {
    if (!this.tells) return undefined
    return pressureText(toldPressure(this.shedder, call.counts ? call.startedAt : systemClock.now()))
  }

  broken(error: unknown): void {
    warn(
      'SPILLWAY_SHED_FAILED',
      `${this.shedder.name} let a call through because it could not decide: ${String(error)}`,
    )
  }
}

/** Makes sure that something is a shedder, before anything is asked of it. */
export function shedderArgument(owner: string, which: string, shedder: Shedder): Shedder {
  if (typeof shedder?.offer === 'function') return shedder
  throw new TypeError(`Expected the ${which} argument of ${owner}() to be a shedder, such as adaptive()`)
}
