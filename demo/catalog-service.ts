/** The catalog: a gRPC service that answers, dawdles, hangs or fails as it is told, in a process of its own. */
import { Server, ServerCredentials, status } from '@grpc/grpc-js'
import { type Context, chain } from 'spillway'
import { serve } from 'spillway/grpc'
import { bulkhead } from 'spillway/isolation'
import { deadline } from 'spillway/timeout'
import { type CatalogServer, catalogService, type ProductRequest } from './catalog.ts'

const names = ['a lamp', 'a chair', 'a desk', 'a shelf', 'a rug']

/** Waits, unless the caller goes away first. */
function wait(ms: number, { signal }: Context): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      process.send?.({ cancelled: true })
      reject(signal.reason)
    })
  })
}

const catalog = serve<CatalogServer>(
  {
    async getProduct({ id, mood }: ProductRequest, context: Context) {
      const answeredWithinMs = Math.floor(context.remainingMs)
      if (mood === 'fails') throw { code: status.UNAVAILABLE, details: 'out of order' }
      await wait(mood === 'hangs' ? 60_000 : mood === 'slow' ? 200 : 5, context)
      return { id, name: names[Number(id) % names.length] ?? names[0]!, answeredWithinMs }
    },
  },
  // What its callers say of deadlines, criticality and tenants is believed: only the gateway can reach it.
  { use: chain(deadline({ totalMs: 400 }), bulkhead({ limit: 50 })), trustPeers: true },
)

const server = new Server()
server.addService(catalogService, catalog)
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.send?.({ port })
})
// Ctrl-C reaches every process of the demo; the gateway ends this one when it is done.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(0))
// The gateway may have ended before this line was reached.
if (!process.connected) process.exit(0)
