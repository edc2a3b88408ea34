/** Servers that show what the protection itself costs: `cost-server.ts '{"variant":"bare503"}'`. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { shedServer } from 'spillway/http'
import { adaptive } from 'spillway/shedding'
import { answer } from '../lib/child.ts'
import { answerOk } from './handlers.ts'

export type CostVariant = 'bare503' | 'express503' | 'hello' | 'guardedHello'

const variants: Readonly<Record<CostVariant, () => Server>> = {
  /** What refusing costs at the least. */
  bare503: () =>
    createServer((_request, response) => {
      response.writeHead(503, { 'content-length': 0 })
      response.end()
    }),
  /** Express that serves ten requests a second and hardly works for them: nearly all that comes is refused. */
  express503: () => {
    const app = express()
    const waiting: (() => void)[] = []
    setInterval(() => waiting.shift()?.(), 100)
    app.use(express.json())
    app.all('/', (_request, response) => {
      waiting.push(() => answerOk(response))
    })
    return shedServer(createServer(app), adaptive())
  },
  hello: () => createServer((_request, response) => answerOk(response)),
  guardedHello: () =>
    shedServer(
      createServer((_request, response) => answerOk(response)),
      adaptive(),
    ),
}

const { variant } = JSON.parse(process.argv[2]!) as { variant: CostVariant }
const server = variants[variant]()
server.listen(0, '127.0.0.1', () => answer({ port: (server.address() as AddressInfo).port }))
