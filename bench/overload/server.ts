/** A server in a process of its own: told which one to be, it answers with its port. */
import type { AddressInfo } from 'node:net'
import { answer } from '../lib/child.ts'
import { type CostVariant, costServers } from './cost-servers.ts'
import { burn, handlers } from './handlers.ts'
import type { ServerSpec } from './rig.ts'
import { subjects } from './subjects.ts'

process.once('message', async (spec: ServerSpec | CostVariant) => {
  const server =
    typeof spec === 'string'
      ? costServers[spec]()
      : await subjects[spec.subject].serve(handlers[spec.handler])
  server.keepAliveTimeout = 72_000
  // A queue of connections that overflows is a second lost for each of them, to everybody alike.
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
    answer({ port: (server.address() as AddressInfo).port })
  })
  if (typeof spec === 'string' || spec.pause === undefined) return
  const { ms, everyMs, afterMs } = spec.pause
  setTimeout(() => setInterval(() => burn(ms), everyMs), afterMs)
})
answer({})
