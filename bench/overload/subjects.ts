/**
 * Who stands in front of the handlers. The peers as their manuals show them, with their default thresholds unless
 * said otherwise; the two laws of other languages as a plain middleware; ours in front of the server. What takes long
 * to load is loaded by those who need it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import protect from 'overload-protection'
import { shedServer } from 'spillway/http'
import { adaptive, bbr, gradient, type Shedder, shedCall } from 'spillway/shedding'
import { answerOk, answerText, type HandlerKind, warmPath } from './handlers.ts'

export interface Subject {
  readonly title: string
  /** A server that is protected and serves `handler`, not yet listening. */
  serve(handler: HandlerKind): Promise<Server>
}

/** A middleware of node:http and of express: answers itself, or calls `next`. */
type Guard = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

type Listener = (request: IncomingMessage, response: ServerResponse) => void

/** The handler with a guard in front of it, if there is one: on node:http, or on express where it takes a body. */
async function listener(handler: HandlerKind, guard?: Guard): Promise<Listener> {
  const work = handler.work()
  const serve: Listener = (request, response) => {
    if (request.url === warmPath) answerOk(response)
    else work(request, () => answerOk(response))
  }
  if (handler.bodyBytes === undefined) {
    return guard === undefined
      ? serve
      : (request, response) => guard(request, response, () => serve(request, response))
  }
  const { default: express } = await import('express')
  const app = express()
  if (guard !== undefined) app.use(guard)
  app.use(express.json())
  app.post(['/', warmPath], serve)
  return app
}

function refuse(response: ServerResponse): void {
  response.writeHead(503, { 'content-length': 0, 'retry-after': '1' })
  response.end()
}

function guarded(title: string, makeGuard: () => Promise<Guard> | Guard): Subject {
  return { title, serve: async handler => createServer(await listener(handler, await makeGuard())) }
}

/** A shedder as a plain middleware, where each framework has its place for one. */
function plain(shedder: Shedder): Guard {
  return (_request, response, next) => {
    const call = shedCall()
    if (shedder.offer(call, performance.now()) !== 'run') {
      refuse(response)
      return
    }
    response.once('close', () => call.success(performance.now()))
    next()
  }
}

/** Half of what a request of ours says: `x-class: critical`, `x-tenant: a`. */
function header(request: IncomingMessage, name: string): string | undefined {
  return request.headers[name] as string | undefined
}

export type SubjectName =
  | 'none'
  | 'toobusy'
  | 'overloadProtection'
  | 'underPressure'
  | 'bbr'
  | 'gradient2'
  | 'spillway'

export const subjects: Readonly<Record<SubjectName, Subject>> = {
  none: { title: 'no protection', serve: async handler => createServer(await listener(handler)) },
  // Its sampler runs from the moment when it is imported.
  toobusy: guarded('toobusy-js', async () => {
    const { default: toobusy } = await import('toobusy-js')
    return (_request, response, next) => (toobusy() ? refuse(response) : next())
  }),
  overloadProtection: guarded('overload-protection', () => {
    const guard = protect('http', { production: true })
    return (request, response, next) => {
      if (guard(request, response) !== true) next()
    }
  }),
  underPressure: {
    title: '@fastify/under-pressure',
    async serve(handler) {
      const { default: fastify } = await import('fastify')
      const { default: underPressure } = await import('@fastify/under-pressure')
      const app = fastify({ bodyLimit: 1_048_576 })
      // The README's 1,000 ms let nobody be refused before it is too late.
      await app.register(underPressure, { maxEventLoopDelay: 100, maxEventLoopUtilization: 0.98 })
      const work = handler.work()
      app.route({
        method: handler.bodyBytes === undefined ? 'GET' : 'POST',
        url: '/*',
        handler: (request, reply) => {
          const answer = (): void => {
            reply.send(answerText)
          }
          if (request.url === warmPath) answer()
          else work(request.raw, answer)
        },
      })
      await app.ready()
      return app.server
    },
  },
  bbr: guarded('BBR', () => plain(bbr())),
  gradient2: guarded('Gradient2', () => plain(gradient({ minLimit: 20 }))),
  spillway: {
    title: 'spillway',
    serve: async handler =>
      shedServer(createServer(await listener(handler)), adaptive({ name: 'server' }), {
        criticality: request => (header(request, 'x-class') === 'low' ? 'sheddable' : undefined),
        tenant: request => header(request, 'x-tenant'),
      }),
  },
}

export const peerNames: readonly SubjectName[] = (Object.keys(subjects) as SubjectName[]).filter(
  name => name !== 'spillway' && name !== 'none',
)
