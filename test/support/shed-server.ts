import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  request as send,
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach } from 'vitest'
import { type Adaptive, adaptive, type Shedder } from '../../src/shedding/index.ts'
import { type ShedServerOptions, shedServer } from '../../src/transport/http/shed-server.ts'

const servers: Server[] = []
const agents: Agent[] = []
const sockets: Socket[] = []

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
  for (const agent of agents.splice(0)) agent.destroy()
})

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

interface Started {
  readonly server: Server
  readonly port: number
  get(path?: string, headers?: Record<string, string>, method?: string, body?: string): Promise<Answer>
}

/** A server behind a shedder, and a client with connections that it keeps. */
export function start(
  shedder: Shedder,
  listener: RequestListener,
  options?: ShedServerOptions,
): Promise<Started> {
  return listen(shedServer(createServer(listener), shedder, options))
}

export async function listen(server: Server): Promise<Started> {
  servers.push(server.listen(0, '127.0.0.1'))
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true })
  agents.push(agent)
  const get: Started['get'] = (path = '/', headers = {}, method = 'GET', body = '') =>
    new Promise((resolve, reject) => {
      const request = send({ port, path, agent, headers, method }, response => {
        let text = ''
        response.on('data', chunk => {
          text += chunk
        })
        response.on('end', () => {
          resolve({ status: response.statusCode!, headers: response.headers, body: text })
        })
      })
      request.on('error', reject)
      request.end(body)
    })
  return { server, port, get }
}

/** A bare connection, and all that has come over it. */
export function dial(port: number): { readonly socket: Socket; readonly received: () => string } {
  const socket = connect(port, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  return { socket, received: () => text }
}

/** Resolves when `condition` holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 1))
}

export const ok: RequestListener = (_request, response) => {
  response.end('served')
}

/** A listener that answers when told. */
export function parked(): { readonly waiting: (() => void)[]; readonly listener: RequestListener } {
  const waiting: (() => void)[] = []
  const listener: RequestListener = (_request, response) => {
    waiting.push(() => response.end('served'))
  }
  return { waiting, listener }
}

/** A shedder that lets one call begin at a time, and has the others wait for as long as it takes. */
export function oneByOne(): Adaptive {
  const shedder = adaptive({ burstWaitMs: 60_000 })
  ;(shedder as unknown as { knee: { limit: number } }).knee.limit = 1
  return shedder
}
