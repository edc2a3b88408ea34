/** A server behind a shedder, as a client sees it that is grpc-js and its service config and nothing of ours. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import type { CatalogServer, Item } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { until } from '../../../test/support/shed-server.ts'
import { adaptive, fixed, type Shedder } from '../../shedding/index.ts'
import { type ShedInterceptorOptions, shedInterceptor } from './shed-interceptor.ts'

const running: RunningCatalog[] = []
afterEach(() => {
  for (const catalog of running.splice(0)) catalog.stop()
})

const serviceConfig = {
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: '0.005s',
        maxBackoff: '0.01s',
        backoffMultiplier: 1,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
}

async function start(
  shedder: Shedder,
  implementation: Partial<CatalogServer>,
  options: ShedInterceptorOptions = {},
): Promise<RunningCatalog['generated']> {
  const catalog = await runCatalog(implementation, {
    server: { interceptors: [shedInterceptor(shedder, options)] },
    client: { 'grpc.service_config': JSON.stringify(serviceConfig) },
  })
  running.push(catalog)
  return catalog.generated
}

interface Told {
  readonly error: ServiceError | null
  readonly item: Item | undefined
}

function ask(client: RunningCatalog['generated'], id: number, metadata = new Metadata()): Promise<Told> {
  return new Promise(resolve => {
    client.getItem({ id }, metadata, (error: ServiceError | null, item?: Item) => resolve({ error, item }))
  })
}

function parked() {
  const waiting: (() => void)[] = []
  const getItem: CatalogServer['getItem'] = (call, done) => {
    waiting.push(() => done(null, { id: call.request.id, name: '' }))
  }
  return { waiting, getItem }
}

describe('a stock client with a retry policy', () => {
  test('is served as without the shedder', async () => {
    const shedder = adaptive()
    const client = await start(shedder, {
      getItem: (call, done) => done(null, { id: call.request.id, name: 'tea' }),
    })
    expect(await ask(client, 7)).toMatchObject({ error: null, item: { id: 7, name: 'tea' } })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 0, admitted: 1 })
  })

  test('tries again after a refusal, and is served once there is room', async () => {
    const { waiting, getItem } = parked()
    const shedder = fixed({ limit: 1 })
    const client = await start(shedder, { getItem })
    const first = ask(client, 1)
    await until(() => waiting.length === 1)
    const second = ask(client, 2)
    await until(() => shedder.snapshot().refused.limit === 1)
    waiting[0]!()
    await first
    await until(() => waiting.length === 2)
    waiting[1]!()
    expect(await second).toMatchObject({ error: null, item: { id: 2 } })
  })

  test('whose word counts is told on its second try never to try again, and obeys though it has three left', async () => {
    const { waiting, getItem } = parked()
    const shedder = fixed({ limit: 1 })
    const client = await start(shedder, { getItem }, { trustPeers: true })
    const first = ask(client, 1)
    await until(() => waiting.length === 1)
    const { error } = await ask(client, 2)
    expect(error).toMatchObject({ code: status.UNAVAILABLE })
    expect(error!.metadata.get('grpc-retry-pushback-ms')).toEqual(['-1'])
    expect(error!.metadata.get('x-rejected')).toEqual(['shed'])
    expect(Number(error!.metadata.get('x-pressure')[0])).toBeGreaterThan(0.5)
    expect(shedder.snapshot().refused.limit).toBe(2)
    waiting[0]!()
    await first
    expect(waiting.length).toBe(1)
  })

  test('gains nothing by what it writes into its metadata where nobody trusts it', async () => {
    const { waiting, getItem } = parked()
    const shedder = fixed({ limit: 1 })
    const client = await start(shedder, { getItem })
    const first = ask(client, 1)
    await until(() => waiting.length === 1)
    const metadata = new Metadata()
    metadata.set('baggage', 'criticality=critical-plus,tenant=vip')
    metadata.set('grpc-previous-rpc-attempts', '0')
    metadata.set('x-retry-attempt', '1')
    metadata.set(':path', '/grpc.health.v1.Health/Check')
    const { error } = await ask(client, 2, metadata)
    expect(error).toMatchObject({ code: status.UNAVAILABLE })
    expect(shedder.snapshot()).toMatchObject({ inFlight: 1, exempt: 0 })
    waiting[0]!()
    await first
  })
})
