/**
 * A server in a process of its own: told which one to be, it answers with its port. Told `again` it closes that one
 * and is the same anew, with nothing learnt: by then its code is compiled, as that of any server is after a minute.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answer } from '../lib/child.ts'
import { type CostVariant, costServers } from './cost-servers.ts'
import { burn, handlers } from './handlers.ts'
import type { Again, Pause, ServerSpec } from './servers.ts'
import { subjects } from './subjects.ts'

let current: { readonly server: Server; readonly spec: ServerSpec | CostVariant } | undefined

/** How long after the time when pauses begin the first one comes. */
const FIRST_PAUSE_MS = 500

let pausing: NodeJS.Timeout | undefined

async function serve(spec: ServerSpec | CostVariant): Promise<void> {
  const server =
    typeof spec === 'string'
      ? await costServers[spec]()
      : await subjects[spec.subject].serve(handlers[spec.handler])
  current = { server, spec }
  server.keepAliveTimeout = 72_000
  // A queue of connections that overflows is a second lost for each of them, to everybody alike.
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
    answer({ port: (server.address() as AddressInfo).port })
  })
}

async function again(pause: Pause | undefined): Promise<void> {
  const { server, spec } = current!
  clearTimeout(pausing)
  server.close()
  server.closeAllConnections()
  // Whatever it was still at comes to its end first.
  await new Promise(resolve => setTimeout(resolve, 50))
  await serve(spec)
  if (pause === undefined) return
  const { ms, everyMs, afterMs } = pause
  pausing = setTimeout(() => {
    burn(ms)
    pausing = setInterval(() => burn(ms), everyMs)
  }, afterMs + FIRST_PAUSE_MS)
}

process.on('message', (message: ServerSpec | CostVariant | Again) => {
  void (typeof message === 'object' && 'again' in message ? again(message.pause) : serve(message))
})
answer({})
