/** Calls the echo service with forty calls in flight, on grpc-js alone or through `client`, each with a deadline. */
import { credentials } from '@grpc/grpc-js'
import { chain } from 'spillway'
import { client } from 'spillway/grpc'
import { deadline } from 'spillway/timeout'
import { answer } from '../lib/child.ts'
import { EchoClient, echoService, message } from './echo.ts'
import { answerBlocks } from './throughput.ts'

const [subject, port] = process.argv.slice(2)
const generated = new EchoClient(`127.0.0.1:${port}`, credentials.createInsecure())
const IN_FLIGHT = 40

const bare = (): Promise<unknown> =>
  new Promise((resolve, reject) => {
    generated.echo(message, { deadline: new Date(Date.now() + 1000) }, (error, response) =>
      error === null ? resolve(response) : reject(error),
    )
  })
const promised = client(generated, { use: chain(deadline({ totalMs: 1000 })), service: echoService })
const ours = (): Promise<unknown> => promised.echo(message)
const call = subject === 'ours' ? ours : bare

let running = false
let requests = 0
async function worker(): Promise<void> {
  while (running) {
    await call()
    requests++
  }
}

answerBlocks({
  from: () => {
    requests = 0
    running = true
    for (let i = 0; i < IN_FLIGHT; i++) void worker()
  },
  requests: () => {
    running = false
    return requests
  },
})
answer({})
