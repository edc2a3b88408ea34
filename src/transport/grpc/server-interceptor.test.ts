/** `serverInterceptor`: refusals, trailers and options. What happens to a call on its way is tested beside that. */
import { Metadata, status } from '@grpc/grpc-js'
import { afterEach, expect, test, vi } from 'vitest'
import type { CatalogClient, CatalogServer, Item } from '../../../test/grpc/catalog.ts'
import { type RunningCatalog, runCatalog } from '../../../test/grpc/running.ts'
import { addAnswerField } from '../../core/answer-fields.ts'
import { chain, gate, layer } from '../../core/chain.ts'
import { Rejection } from '../../core/rejection.ts'
import { client } from './client.ts'
import type { PromiseClient } from './client-types.ts'
import { incomingCall } from './method.ts'
import { type ServerInterceptorOptions, serverInterceptor } from './server-interceptor.ts'

let running: RunningCatalog | undefined
afterEach(() => running?.stop())

const start = async (
  implementation: Partial<CatalogServer>,
  options: ServerInterceptorOptions = {},
): Promise<PromiseClient<CatalogClient>> => {
  running = await runCatalog(implementation, { server: { interceptors: [serverInterceptor(options)] } })
  return client(running.generated)
}

test('a call that is refused reaches no handler, whose request is not even read', async () => {
  const handler = vi.fn<CatalogServer['getItem']>()
  const refusal = new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' })
  let request: unknown = 'not asked'
  const catalog = await start(
    { getItem: handler },
    {
      use: chain(
        gate({
          kind: 'shed',
          name: 'p',
          admit(given) {
            request = given
            return refusal
          },
        }),
      ),
    },
  )
  const error = await catalog.getItem({ id: 1 }).catch(error => error)
  expect(error.code).toBe(status.UNAVAILABLE)
  expect(error.metadata.get('x-rejected')).toEqual(['shed'])
  expect(request).toBeUndefined()
  expect(handler).not.toHaveBeenCalled()
})

test('trailers are what the handler gives and what the chain adds', async () => {
  const note = layer({ kind: 'other', name: 'note' }, next => (request, context) => {
    addAnswerField(context, 'x-note', 'noted')
    context.get(incomingCall)?.trailers.set('x-own', 'own')
    return next(request, context)
  })
  const catalog = await start(
    {
      getItem(_call, done) {
        const trailers = new Metadata()
        trailers.set('x-handler', 'h')
        done(null, { id: 1, name: '' }, trailers)
      },
    },
    { use: chain(note) },
  )
  let trailers: Metadata | undefined
  await catalog.getItem({ id: 1 }, { onTrailers: metadata => (trailers = metadata) })
  expect(trailers?.toJSON()).toMatchObject({ 'x-note': ['noted'], 'x-own': ['own'], 'x-handler': ['h'] })
})

test('with only its own handlers a call goes through unchanged', async () => {
  const catalog = await start({
    importItems(call, done) {
      const items: Item[] = []
      call.on('data', item => items.push(item))
      call.on('end', () => done(null, { count: items.length }))
    },
  })
  expect(await catalog.importItems([1, 2, 3].map(id => ({ id, name: '' })))).toEqual({ count: 3 })
})

test('what is wrong with the options is said at once', () => {
  expect(() => serverInterceptor({ timeout: 1 } as never)).toThrow(/no option `timeout`/)
  expect(() => serverInterceptor({ timeoutMs: -1 })).toThrow(/`timeoutMs` to be a number above 0/)
})
