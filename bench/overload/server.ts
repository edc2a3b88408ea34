/** A server in a process of its own: `server.ts '{"subject":"none","handler":"cpu"}'`. It answers with its port. */
import type { AddressInfo } from 'node:net'
import { answer } from '../lib/child.ts'
import { burn, handlers } from './handlers.ts'
import type { ServerSpec } from './rig.ts'
import { subjects } from './subjects.ts'

const spec = JSON.parse(process.argv[2]!) as ServerSpec
const subject = subjects[spec.subject]
const handler = handlers[spec.handler]

const server = await subject.serve(handler)
server.keepAliveTimeout = 72_000
// A queue of connections that overflows is a second lost for each of them, to everybody alike.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  answer({ port: (server.address() as AddressInfo).port })
})

if (spec.pause !== undefined) {
  const { ms, everyMs } = spec.pause
  setInterval(() => burn(ms), everyMs)
}
