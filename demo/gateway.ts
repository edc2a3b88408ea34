/** The gateway: an express app that asks the catalog, with everything a careful caller has around the call. */
import { readFileSync } from 'node:fs'
import { type ChannelCredentials, credentials } from '@grpc/grpc-js'
import express, { type Express } from 'express'
import { chain, inspect } from 'spillway'
import { breaker, circuit, throttle } from 'spillway/breaker'
import { errors, protect } from 'spillway/express'
import { client } from 'spillway/grpc'
import { bulkhead } from 'spillway/isolation'
import { rateLimit, tokenBucket } from 'spillway/ratelimit'
import { retry } from 'spillway/retry'
import { attemptDeadline, deadline } from 'spillway/timeout'
import { CatalogClient, moods } from './catalog.ts'

const insecure: ChannelCredentials = credentials.createInsecure()

/** Makes the app. `cancelledCalls` tells how many calls the catalog has seen cancelled. */
export function gateway(catalogAddress: string, cancelledCalls: () => number): Express {
  const catalog = client(CatalogClient, {
    address: catalogAddress,
    credentials: insecure,
    idempotent: ['getProduct'],
    use: chain(
      retry({ retries: 2, name: 'catalog retry' }),
      attemptDeadline({ attemptMs: 300 }),
      breaker(throttle({ name: 'catalog throttle' })),
      breaker(circuit({ name: 'catalog circuit', openMs: 3_000 })),
      bulkhead({ limit: 100, name: 'catalog calls' }),
    ),
  })

  const app = express()
  const page = readFileSync(new URL('./page.html', import.meta.url), 'utf8')
  app.get('/', (_request, response) => {
    response.type('html').send(page)
  })
  app.get('/state', (_request, response) => {
    response.json({ cancelledCalls: cancelledCalls(), mechanisms: inspect() })
  })
  app.use(
    '/products',
    protect(
      chain(
        deadline({ totalMs: 1_000 }),
        rateLimit(tokenBucket({ ratePerSecond: 20, burst: 20, name: 'per client' }), {
          key: (_request, context) => context.caller,
        }),
      ),
    ),
  )
  app.get('/products/:id', async (request, response) => {
    const mood = moods.find(mood => mood === request.query.mood) ?? 'well'
    response.json(await catalog.getProduct({ id: request.params.id, mood }))
  })
  app.use(errors())
  return app
}
