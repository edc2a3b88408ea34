/** The echo service: on grpc-js alone, or through `serve` with a deadline of its own. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import { chain } from 'spillway'
import { serve } from 'spillway/grpc'
import { deadline } from 'spillway/timeout'
import { answer } from '../lib/child.ts'
import { echoService } from './echo.ts'
import { answerBlocks } from './throughput.ts'

const server = new Server()
let requests = 0
if (process.argv[2] === 'ours') {
  server.addService(
    echoService,
    serve(
      {
        echo: async (request: Buffer) => {
          requests++
          return request
        },
      },
      { use: chain(deadline({ totalMs: 1000 })) },
    ),
  )
} else {
  server.addService(echoService, {
    echo(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
      requests++
      callback(null, call.request)
    },
  })
}

server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => answer({ port }))
answerBlocks({
  from: () => {
    requests = 0
  },
  requests: () => requests,
})
