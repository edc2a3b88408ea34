import { start } from '../lib/child.ts'
import {
  ask,
  type Comparison,
  type ComparisonOptions,
  compare,
  type Side,
  startServer,
  type Usage,
} from './throughput.ts'

/** Unary calls with a deadline: grpc-js alone against `client` and `serve`, processor time of both ends counted. */
export async function compareGrpc(options: ComparisonOptions): Promise<Comparison> {
  return compare('gRPC', { bare: await side('bare'), ours: await side('ours') }, options)
}

async function side(subject: 'bare' | 'ours'): Promise<Side> {
  const { child: server, port } = await startServer(new URL('./grpc-server.ts', import.meta.url), subject)
  const load = start(new URL('./grpc-load.ts', import.meta.url), [subject, String(port)])
  await load.next()
  return {
    async measure(blockMs) {
      await ask(server, 'from')
      await ask(load, 'from')
      await new Promise(resolve => setTimeout(resolve, blockMs))
      const { requests, cpuMs } = await ask<Usage>(load, 'to')
      const { cpuMs: serverMs } = await ask<Usage>(server, 'to')
      return requests / ((cpuMs + serverMs) / 1_000)
    },
    async stop() {
      await Promise.all([load.stop(), server.stop()])
    },
  }
}
