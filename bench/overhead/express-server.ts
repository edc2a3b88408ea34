/** An express server that answers one small JSON document: bare, or behind a small chain. */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { chain, gate } from 'spillway'
import { protect } from 'spillway/express'
import { deadline } from 'spillway/timeout'
import { answer } from '../lib/child.ts'
import { answerBlocks } from './throughput.ts'

const app = express()
let requests = 0
if (process.argv[2] === 'ours') {
  const count = gate({ kind: 'observe', name: 'count', admit: () => undefined, settle: () => undefined })
  app.use(protect(chain(count, deadline({ totalMs: 1000 }))))
}
app.get('/', (_request, response) => {
  requests++
  response.json({ hello: 'world' })
})

const server = app.listen(0, '127.0.0.1', () => answer({ port: (server.address() as AddressInfo).port }))
answerBlocks({
  from: () => {
    requests = 0
  },
  requests: () => requests,
})
