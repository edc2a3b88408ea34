import { type Client, credentials, Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js'
import { CatalogClient, type CatalogServer, CatalogService } from './catalog.ts'

/** A catalog service on a port of its own, and a generated client that is connected to it. */
export interface RunningCatalog {
  readonly server: Server
  readonly port: number
  readonly generated: CatalogClient
  stop(): void
}

export async function runCatalog(
  implementation: Partial<CatalogServer>,
  options: {
    readonly server?: ServerOptions
    readonly client?: ConstructorParameters<typeof Client>[2]
  } = {},
): Promise<RunningCatalog> {
  const server = new Server(options.server)
  server.addService(CatalogService, implementation as CatalogServer)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port)
      else reject(error)
    })
  })
  const generated = new CatalogClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
    // Clients of one process would otherwise share their connections.
    'grpc.use_local_subchannel_pool': 1,
    ...options.client,
  })
  await new Promise<void>((resolve, reject) => {
    generated.waitForReady(Date.now() + 10_000, error => (error === undefined ? resolve() : reject(error)))
  })
  return {
    server,
    port,
    generated,
    stop() {
      generated.close()
      server.forceShutdown()
    },
  }
}
