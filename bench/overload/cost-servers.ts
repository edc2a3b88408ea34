/** Servers that show what the protection itself costs. */
import { createServer, type Server } from 'node:http'
import { shedServer } from 'spillway/http'
import { adaptive } from 'spillway/shedding'
import { answerOk, poolBound } from './handlers.ts'

export type CostVariant = 'bare503' | 'express503' | 'hello' | 'guardedHello'

export const costServers: Readonly<Record<CostVariant, () => Promise<Server> | Server>> = {
  /**
   * What refusing costs at the least: a head with a length in it. With the five fields of our refusals it is no slower,
   * so this is what ours are compared with.
   */
  bare503: () =>
    createServer((_request, response) => {
      response.writeHead(503, { 'content-length': 0 })
      response.end()
    }),
  /**
   * Express that can serve 50 requests a second and does nothing for them but wait: all but one in a thousand of what
   * comes is refused, while the law has as much to do as with more. What serving costs counts against the refusals, a
   * dozen of them for each, so there is no body parser either.
   */
  express503: async () => {
    const { default: express } = await import('express')
    const app = express()
    const work = poolBound(1, 0)
    app.all('/', (request, response) => work(request, () => answerOk(response)))
    return shedServer(createServer(app), adaptive())
  },
  hello: () => createServer((_request, response) => answerOk(response)),
  guardedHello: () =>
    shedServer(
      createServer((_request, response) => answerOk(response)),
      adaptive(),
    ),
}
