/**
 * A shedder in front of a server: before routing, before any framework, before the body is read. Refusing here
 * costs little more than reading the request does, and a fraction of what it costs inside a framework.
 */
import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { systemClock } from '../../core/clock.ts'
import type { Criticality } from '../../core/criticality.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { warn } from '../../core/warn.ts'
import {
  type Runner,
  runnerOf,
  type ShedCall,
  type Shedder,
  type ShedTask,
  shedCall,
} from '../../shedding/index.ts'
import { checkInbound, type InboundOptions, readInbound } from '../wire/inbound.ts'
import { routeOf } from './route-of.ts'
import { holdUntilHead } from './shed-hold.ts'
import { Refuser } from './shed-refusal.ts'

export interface ShedServerOptions extends InboundOptions {
  /**
   * What is asked for; `adaptive` learns route by route what a request costs.
   * @default the method and the beginning of the path, up to the first identifier
   */
  readonly route?: (request: IncomingMessage) => string | undefined
  /** @default what a trusted peer says, else 'critical' */
  readonly criticality?: (request: IncomingMessage) => Criticality | undefined
  /** @default what a trusted peer says */
  readonly tenant?: (request: IncomingMessage) => string | undefined
  /**
   * Requests that are never refused and never wait.
   * @default the paths /health, /healthz, /livez, /readyz and /metrics
   */
  readonly exempt?: (request: IncomingMessage) => boolean
  /** Adds `x-pressure`, from 0.5 to 1, to the answers given while requests are being refused. @default true */
  readonly headers?: boolean
  /** Spreads the times that refused clients are told to stay away. @default Math.random */
  readonly random?: () => number
}

const functions = ['route', 'criticality', 'tenant', 'exempt', 'random'] as const

const probes: ReadonlySet<string> = new Set(['/health', '/healthz', '/livez', '/readyz', '/metrics'])
const LONGEST_PROBE = 8

/**
 * Puts `shedder` in front of all that a server does with requests, whichever framework it runs:
 * `shedServer(createServer(app), adaptive()).listen(8080)`. Called last, it stands outermost. Returns the server.
 *
 * A request counts as in flight until the head of its answer is sent, so that streams hold nothing for as long as
 * they last, or until its connection closes. Only answers below 400 tell how long requests take.
 */
export function shedServer<S extends Server>(
  server: S,
  shedder: Shedder,
  options: ShedServerOptions = {},
): S {
  if (typeof shedder?.offer !== 'function') {
    throw new TypeError('Expected the second argument of shedServer() to be a shedder, such as adaptive()')
  }
  knownOptions('shedServer', options, [...functions, 'timeoutMs', 'trustPeers', 'headers'])
  for (const key of functions) {
    if (options[key] !== undefined) functionOption(key, options[key])
  }
  checkInbound(options)
  const emit: (event: string, ...args: unknown[]) => boolean = server.emit.bind(server)
  const intake = new Intake(shedder, options, (request, response) => emit('request', request, response))
  const guarded = (event: string, ...args: unknown[]): boolean => {
    if (event === 'connection') intake.connected()
    else if (event === 'request') {
      intake.take(args[0] as IncomingMessage, args[1] as ServerResponse)
      return true
    }
    return emit(event, ...args)
  }
  server.emit = guarded as S['emit']
  return server
}

/** Hands a request on to whoever serves it. */
type Serve = (request: IncomingMessage, response: ServerResponse) => void

class Intake {
  private readonly shedder: Shedder
  private readonly runner: Runner
  private readonly options: ShedServerOptions
  private readonly refuser: Refuser
  readonly serve: Serve

  constructor(shedder: Shedder, options: ShedServerOptions, serve: Serve) {
    this.shedder = shedder
    this.runner = runnerOf(shedder)
    this.options = options
    this.refuser = new Refuser(options.random ?? Math.random)
    this.serve = serve
  }

  connected(): void {
    this.runner.connected()
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    const task = new RequestTask(this, request, response)
    const call = this.callFor(request, task)
    if (call === undefined) {
      this.serve(request, response)
      return
    }
    try {
      this.runner.submit(call)
    } catch (error) {
      // What the handler throws is not ours to catch.
      if (task.told) throw error
      this.broken(error)
      this.serve(request, response)
      return
    }
    if (!task.told) task.wait()
  }

  /** Lets a request on to its handler. */
  begin(request: IncomingMessage, response: ServerResponse, call: ShedCall): void {
    if (this.options.headers !== false) {
      const pressure = this.shedder.pressure(systemClock.now())
      if (pressure > 0.5) response.setHeader('x-pressure', pressure.toFixed(2))
    }
    // Only while it counts: one that is let through because nobody may be refused has nothing to give back.
    if (call.counts) holdUntilHead(call, request, response)
    this.serve(request, response)
  }

  refuse(response: ServerResponse, call: ShedCall): void {
    this.refuser.refuse(response, call.again)
  }

  /** The call to ask about; nothing for a request that is exempt, or that nobody can make sense of. */
  private callFor(request: IncomingMessage, task: ShedTask): ShedCall | undefined {
    const { options, shedder } = this
    try {
      if (options.exempt === undefined ? isProbe(request.url!) : options.exempt(request)) {
        shedder.exempt()
        return undefined
      }
      const inbound = readInbound(name => rawHeader(request.rawHeaders, name), options)
      const { timeoutMs } = inbound
      return shedCall(
        {
          criticality: options.criticality?.(request) ?? inbound.criticality,
          tenant: options.tenant === undefined ? inbound.tenant : options.tenant(request),
          route:
            options.route === undefined ? routeOf(request.method!, request.url!) : options.route(request),
          deadline: timeoutMs === undefined ? Infinity : systemClock.now() + timeoutMs,
          attempt: inbound.attempt,
        },
        task,
      )
    } catch (error) {
      this.broken(error)
      return undefined
    }
  }

  private broken(error: unknown): void {
    const { name } = this.shedder
    warn(
      'SPILLWAY_SHED_FAILED',
      `${name} let a request through because it could not decide: ${String(error)}`,
    )
  }
}

/** A request that has been submitted. */
class RequestTask implements ShedTask {
  /** Whether the shedder has said what becomes of it. */
  told: boolean
  private readonly intake: Intake
  private readonly request: IncomingMessage
  private readonly response: ServerResponse
  private resource: AsyncResource | undefined

  constructor(intake: Intake, request: IncomingMessage, response: ServerResponse) {
    this.told = false
    this.intake = intake
    this.request = request
    this.response = response
    this.resource = undefined
  }

  get gone(): boolean {
    const { socket } = this.request
    return socket.destroyed || !socket.writable
  }

  /** Keeps what belongs to the request, a trace above all, from getting lost in the queue. */
  wait(): void {
    this.resource = new AsyncResource('SpillwayRequest')
  }

  run(call: ShedCall): void {
    this.told = true
    const { intake, request, response, resource } = this
    if (resource === undefined) intake.begin(request, response, call)
    else resource.runInAsyncScope(() => intake.begin(request, response, call))
  }

  refuse(call: ShedCall): void {
    this.told = true
    this.intake.refuse(this.response, call)
  }
}

/** Whether somebody asks how the service is, and not for the service. */
function isProbe(url: string): boolean {
  if (url.length <= LONGEST_PROBE) return probes.has(url)
  const end = url.indexOf('?')
  return end > 0 && end <= LONGEST_PROBE && probes.has(url.slice(0, end))
}

/** A header field as it came. Reading one this way costs less than having all of them parsed. */
function rawHeader(raw: readonly string[], name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) {
    const field = raw[i]!
    if (field.length === name.length && field.toLowerCase() === name) return raw[i + 1]
  }
  return undefined
}
