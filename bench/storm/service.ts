/**
 * One service of the chain, in a process of its own: `service.ts <manner>`. It answers with its port and is then told
 * that of the service behind it. The last one has none: it fails every call. All count what reaches them.
 */
import {
  credentials,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import pRetry from 'p-retry'
import { chain } from 'spillway'
import { client, serve } from 'spillway/grpc'
import { backoff, retry } from 'spillway/retry'
import { answer } from '../lib/child.ts'
import { ATTEMPTS, BACKOFF_MS, HopClient, hopService, type Manner } from './hop.ts'

const manner = process.argv[2] as Manner
const server = new Server()
let calls = 0

function serveNext(port: number | undefined): void {
  if (port === undefined) {
    server.addService(hopService, {
      ask(_call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
        calls++
        callback({ code: status.UNAVAILABLE, details: 'out of order' })
      },
    })
    return
  }
  const next = new HopClient(`127.0.0.1:${port}`, credentials.createInsecure())
  if (manner === 'naive') serveNaively(next)
  else serveWithCare(next)
}

function serveNaively(next: HopClient): void {
  const call = (request: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      next.ask(request, (error, response) => (error === null ? resolve(response!) : reject(error)))
    })
  server.addService(hopService, {
    ask({ request }: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
      calls++
      const options = { retries: ATTEMPTS - 1, minTimeout: BACKOFF_MS, factor: 1 }
      pRetry(() => call(request), options).then(
        response => callback(null, response),
        error => callback({ code: error.code, details: error.details }),
      )
    },
  })
}

function serveWithCare(next: HopClient): void {
  const use = chain(
    retry({
      attempts: ATTEMPTS,
      idempotent: true,
      backoff: backoff.fullJitter({ baseMs: BACKOFF_MS }),
      ...(manner === 'marked' ? { budget: false as const } : {}),
    }),
  )
  const promised = client(next, { use, service: hopService })
  const ask = (request: Buffer): Promise<Buffer> => {
    calls++
    return promised.ask(request)
  }
  server.addService(hopService, serve({ ask }))
}

server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => answer({ port }))
process.on('message', (message: 'count' | { readonly behind?: number }) => {
  if (message === 'count') {
    answer({ calls })
    calls = 0
    return
  }
  serveNext(message.behind)
  answer({})
})
