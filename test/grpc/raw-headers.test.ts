/**
 * What any program can send to a gRPC server: headers that no gRPC library would write. They come over a bare HTTP/2
 * connection, so grpc-js reads them first and has its chance to fail.
 */
import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import fc from 'fast-check'
import { type Context, chain, currentContext, systemClock } from 'spillway'
import { type ServeOptions, serve, serverInterceptor } from 'spillway/grpc'
import { deadline } from 'spillway/timeout'
import { afterEach, describe, expect, test } from 'vitest'
import { type CatalogServer, CatalogService } from './catalog.ts'

const LIMIT_MS = 5_000

const names = fc.constantFrom(
  'grpc-timeout',
  'x-envoy-expected-rq-timeout-ms',
  'baggage',
  'grpc-previous-rpc-attempts',
  'x-retry-attempt',
)
const values = fc.oneof(
  fc.constantFrom(
    ...['', '-1', '-5m', '0m', '5', '1e9', 'NaN', 'm', '5x', '5 m', '١m', '99999999H', '123456789H', '0x10S'],
    ...['criticality=critical-plus', 'tenant=gold,criticality=critical-plus', 'criticality=%', 'tenant=%00'],
    ...['='.repeat(3_000), ','.repeat(300), '9'.repeat(400)],
  ),
  fc.nat().map(n => `${n}m`),
  fc.stringMatching(/^[ -~]{0,30}$/),
)
const headers = fc.dictionary(names, values, { maxKeys: 4, noNullPrototype: true })

let server: Server
let session: ClientHttp2Session
afterEach(() => {
  session?.destroy()
  server?.forceShutdown()
})

async function listen(server: Server): Promise<void> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
  session = connect(`http://127.0.0.1:${port}`)
  await once(session, 'connect')
}

/** Sends one call and returns its gRPC status. */
function call(headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/shop.Catalog/GetItem',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    let status: unknown
    const read = (fields: { readonly 'grpc-status'?: unknown }): void => {
      status ??= fields['grpc-status']
    }
    stream.on('response', read).on('trailers', read).on('error', reject).resume()
    stream.on('close', () => resolve(Number(status)))
    const message = Buffer.from('{"id":1}')
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([head, message]))
  })
}

const contexts: Context[] = []
const item = (request: { id: number }) => ({ id: request.id, name: 'lamp' })
const see = (context: Context): void => {
  contexts.push(context)
}
const noting = chain(deadline({ totalMs: LIMIT_MS }))

const servers: readonly (readonly [string, () => Server])[] = [
  [
    'serve',
    () => {
      const server = new Server()
      const options: ServeOptions<CatalogServer> = { use: noting }
      const handlers = {
        getItem(request: { id: number }, context: Context) {
          see(context)
          return item(request)
        },
      }
      server.addService(CatalogService, serve<CatalogServer>(handlers as never, options))
      return server
    },
  ],
  [
    'an interceptor',
    () => {
      const server = new Server({ interceptors: [serverInterceptor({ use: noting })] })
      server.addService(CatalogService, {
        getItem(call: any, callback: any) {
          see(currentContext()!)
          callback(null, item(call.request))
        },
      })
      return server
    },
  ],
]

describe.each(servers)('a server with %s', (_how, make) => {
  test('takes any headers: none of them crashes it, buys time or buys class', async () => {
    server = make()
    await listen(server)
    let handled = 0
    await fc.assert(
      fc.asyncProperty(headers, async sent => {
        contexts.length = 0
        const status = await call(sent)
        // Answered, or refused: its time was up before it began, or grpc-js does not take such headers.
        expect([0, 4, 11, 13]).toContain(status)
        expect(contexts.length).toBeLessThanOrEqual(1)
        handled += contexts.length
        for (const { remainingMs, criticality, tenant, attempt } of contexts) {
          expect(remainingMs).toBeLessThanOrEqual(LIMIT_MS)
          expect([criticality, tenant, attempt]).toEqual(['critical', undefined, 1])
        }
      }),
      { numRuns: 150, seed: 5 },
    )
    expect(handled).toBeGreaterThan(50)
    expect(await call({})).toBe(0)
    expect(systemClock.armed).toBe(0)
  })
})
