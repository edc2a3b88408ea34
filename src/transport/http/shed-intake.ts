import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock } from '../../core/clock.ts'
import { warn } from '../../core/warn.ts'
import { pressureField, pressureText } from '../../internal/pressure-field.ts'
import { importanceOf, ShedCall } from '../../shedding/call.ts'
import { type Refusal, type Runner, runnerOf, type Shedder } from '../../shedding/index.ts'
import { readInbound } from '../wire/inbound.ts'
import { grpcTimeoutHeader, httpTimeoutHeader } from '../wire/timeout.ts'
import { isProbe, routeOf } from './route-of.ts'
import { Refuser } from './shed-refusal.ts'
import type { ShedServerOptions } from './shed-server.ts'
import { ShedTask } from './shed-task.ts'

/** Hands a request on to whoever serves it. `expects`: its client waits to be asked for the body. */
type Serve = (request: IncomingMessage, response: ServerResponse, expects: boolean) => void

/** What lies between the requests of a server and a shedder. Whatever goes wrong here lets a request through. */
export class ShedIntake {
  private readonly shedder: Shedder
  private readonly runner: Runner
  private readonly options: ShedServerOptions
  private readonly refuser: Refuser
  private readonly tells: boolean
  readonly serve: Serve

  constructor(shedder: Shedder, options: ShedServerOptions, serve: Serve) {
    this.shedder = shedder
    this.runner = runnerOf(shedder)
    this.options = options
    this.refuser = new Refuser(options.random ?? Math.random)
    this.tells = options.headers !== false
    this.serve = serve
  }

  connected(): void {
    this.runner.connected()
  }

  take(request: IncomingMessage, response: ServerResponse, expects: boolean): void {
    const task = new ShedTask(this, request, response, expects)
    const call = this.callFor(request, task)
    if (call === undefined) {
      this.serve(request, response, expects)
      return
    }
    try {
      this.runner.submit(call)
    } catch (error) {
      // What the handler throws is not ours to catch.
      if (task.told) throw error
      this.broken(error)
      this.serve(request, response, expects)
      return
    }
    if (!task.told) task.wait()
  }

  /** Says in an answer that is yet to come how hard the shedder is pressed, while it is. */
  tell(call: ShedCall, response: ServerResponse): void {
    if (!this.tells) return
    const pressure = pressureText(this.shedder.pressure(call.counts ? call.startedAt : systemClock.now()))
    if (pressure !== undefined) response.setHeader(pressureField, pressure)
  }

  /** Takes off the time that a request may take what it has spent in the queue, for whoever reads it next. */
  shorten(call: ShedCall, request: IncomingMessage): void {
    if (call.deadline === Infinity) return
    const { headers } = request
    headers[httpTimeoutHeader] = String(Math.max(0, Math.floor(call.deadline - systemClock.now())))
    delete headers[grpcTimeoutHeader]
  }

  refuse(response: ServerResponse, call: ShedCall, refusal: Refusal): void {
    const pressure = this.tells ? this.shedder.pressure(systemClock.now()) : 0
    this.refuser.refuse(response, refusal, call.again, pressure)
  }

  broken(error: unknown): void {
    warn(
      'SPILLWAY_SHED_FAILED',
      `${this.shedder.name} let a request through because it could not decide: ${String(error)}`,
    )
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
      return new ShedCall(
        importanceOf(options.criticality?.(request) ?? inbound.criticality),
        inbound.attempt !== undefined && inbound.attempt > 1,
        options.tenant === undefined ? inbound.tenant : options.tenant(request),
        options.route === undefined ? routeOf(request.method!, request.url!) : options.route(request),
        timeoutMs === undefined ? Infinity : systemClock.now() + timeoutMs,
        task,
      )
    } catch (error) {
      this.broken(error)
      return undefined
    }
  }
}

/** A header field as it came. Reading one this way costs less than having all of them parsed. */
function rawHeader(raw: readonly string[], name: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) {
    const field = raw[i]!
    if (field.length === name.length && field.toLowerCase() === name) return raw[i + 1]
  }
  return undefined
}
