/**
 * A shedder in front of a server: before routing, before any framework, before the body is read. Refusing here
 * costs little more than reading the request does, and a fraction of what it costs inside a framework.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Shedder } from '../../shedding/index.ts'
import { ShedEntry, type ShedEntryOptions, shedderArgument } from '../wire/shed-entry.ts'
import { expressShapeOf } from './express-shape.ts'
import { isProbe, routeOf } from './route-of.ts'
import { ShedIntake } from './shed-intake.ts'

export interface ShedServerOptions extends ShedEntryOptions<IncomingMessage> {
  /**
   * What is asked for; `adaptive` learns route by route what a request costs.
   * @default the method and the beginning of the path, up to the first identifier
   */
  readonly route?: (request: IncomingMessage) => string | undefined
  /**
   * Requests that are never refused and never wait.
   * @default the paths /health, /healthz, /livez, /readyz and /metrics
   */
  readonly exempt?: (request: IncomingMessage) => boolean
}

/**
 * Puts `shedder` in front of all that a server does with requests, whichever framework it runs:
 * `shedServer(createServer(app), adaptive()).listen(8080)`. Called last, it stands outermost. Returns the server.
 *
 * A request counts as in flight until the head of its answer is sent, so that streams hold nothing for as long as
 * they last, or until its connection closes. Only answers below 400 tell how long requests take. Upgrades (web
 * sockets) are left alone.
 */
export function shedServer<S extends Server>(
  server: S,
  shedder: Shedder,
  options: ShedServerOptions = {},
): S {
  shedderArgument('shedServer', 'second', shedder)
  const entry = new ShedEntry('shedServer', shedder, options, { route: lastRoute(), exempt })
  const emit: (event: string, ...args: unknown[]) => boolean = server.emit.bind(server)
  // Without a listener of its own Node would ask for the body before anybody has decided whether it is wanted.
  server.on('checkContinue', ignore)
  /** Requests that have been let in and come by once more, because they wait to be asked for their body. */
  const continued = new WeakSet<IncomingMessage>()
  let expecting = false
  const shape = expressShapeOf(server)
  const intake = new ShedIntake(entry, (request, response, expects) => {
    if (!expects) {
      shape.prepare(request, response)
      emit('request', request, response)
      shape.learn(request, response)
      return
    }
    expecting = true
    continued.add(request)
    // By way of the server, for whatever stands around it now.
    if (server.listenerCount('checkContinue') > 1) server.emit('checkContinue', request, response)
    else {
      response.writeContinue()
      server.emit('request', request, response)
    }
  })
  const guarded = (event: string, ...args: unknown[]): boolean => {
    if (event === 'request' || event === 'checkContinue') {
      const request = args[0] as IncomingMessage
      const response = args[1] as ServerResponse
      if (!expecting || !continued.has(request)) {
        intake.take(request, response, event === 'checkContinue')
        return true
      }
    } else if (event === 'connection') entry.connected()
    return emit(event, ...args)
  }
  // Not by replacing the listeners: one that is added later would stand beside the shedder.
  server.emit = guarded as S['emit']
  return server
}

/** Requests for the same come one after the other more often than not. */
function lastRoute(): (request: IncomingMessage) => string {
  let lastMethod = ''
  let lastUrl = ''
  let last = routeOf(lastMethod, lastUrl)
  return request => {
    const { method, url } = request as { method: string; url: string }
    if (url !== lastUrl || method !== lastMethod) {
      last = routeOf(method, url)
      lastMethod = method
      lastUrl = url
    }
    return last
  }
}

function exempt(request: IncomingMessage): boolean {
  return isProbe(request.url!)
}

function ignore(): void {}
