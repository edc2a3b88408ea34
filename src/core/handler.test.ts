import type { IncomingMessage } from 'node:http'
import { expect, expectTypeOf, test } from 'vitest'
import { deadline } from '../timeout/deadline.ts'
import { chain, describe, gate, layer } from './chain.ts'
import type { Context } from './context.ts'
import type { Call, Handler, Middleware, Protection } from './handler.ts'

const total = deadline({ totalMs: 1_000 })
const web = gate<IncomingMessage>({ kind: 'other', name: 'web', admit: request => request.url })
const about = { kind: 'other', name: 'layer' } as const

test('a wrapped handler keeps the types of its own', () => {
  const call = chain(total)(async (x: number) => String(x))
  expectTypeOf(call).toEqualTypeOf<Call<number, string>>()
  expectTypeOf(call).parameters.toEqualTypeOf<[request: number, context?: Context]>()
  expectTypeOf(call).returns.toEqualTypeOf<Promise<string>>()
  // @ts-expect-error a string is no number
  const wrong = () => call('3')
  // @ts-expect-error the handler reads its request, so it cannot be left out
  const missing = () => call()
  expect([wrong, missing]).toHaveLength(2)
})

test('the request may be left out where nothing reads it', () => {
  const call = chain(total)(async () => 7)
  expectTypeOf(call).parameters.toEqualTypeOf<[request?: unknown, context?: Context]>()
  const run = () => [call(), call(undefined), call('anything')]
  expect(run).toBeTypeOf('function')
})

test('a chain needs what its most demanding middleware needs', () => {
  expectTypeOf(chain(total)).toEqualTypeOf<Protection>()
  expectTypeOf(chain(web)).toEqualTypeOf<Protection<IncomingMessage>>()
  expectTypeOf(chain(total, web)).toEqualTypeOf<Protection<IncomingMessage>>()
  expectTypeOf(chain(web, total)).toEqualTypeOf<Protection<IncomingMessage>>()
  expectTypeOf(chain(chain(total, web), total)).toEqualTypeOf<Protection<IncomingMessage>>()

  interface WithSession extends IncomingMessage {
    session: string
  }
  const session = gate<WithSession>({ kind: 'other', name: 'session', admit: request => request.session })
  expectTypeOf(chain(web, session)).toEqualTypeOf<Protection<WithSession>>()
  expectTypeOf(chain(session, web)).toEqualTypeOf<Protection<WithSession>>()
  expect(describe(chain(web, session))).toHaveLength(2)
})

test('a handler of requests that the chain cannot read is an error', () => {
  const serve = chain(total, web)
  expectTypeOf(serve(async (request: IncomingMessage) => request.method)).toEqualTypeOf<
    Call<IncomingMessage, string | undefined>
  >()
  // @ts-expect-error a number is no IncomingMessage
  serve(async (x: number) => x)
  const use = (middleware: Middleware<IncomingMessage>) => middleware
  use(total)
  use(serve)
  // @ts-expect-error what needs an IncomingMessage does not work for just anything
  const anything: Middleware = serve
  expect(anything).toBe(serve)
})

test('a middleware may need to know of the answer', () => {
  const timed = layer<unknown, Response>(about, next => async (request, context) => {
    const response = await next(request, context)
    expectTypeOf(response.status).toBeNumber()
    return response
  })
  const call = chain(total, timed)
  expectTypeOf(call).toEqualTypeOf<Protection<unknown, Response>>()
  expectTypeOf(call(async (url: string) => new Response(url))).toEqualTypeOf<Call<string, Response>>()
  // @ts-expect-error a number is no Response
  call(async () => 3)
})

test('a layer written in place needs no types', async () => {
  const through = layer(about, next => (request, context) => next(request, context))
  const awaiting = layer(about, next => async (request, context) => {
    const answer = await next(request, context)
    return answer
  })
  const typed = layer<IncomingMessage>(about, next => async (request, context) => {
    expectTypeOf(request.url).toEqualTypeOf<string | undefined>()
    return next(request, context)
  })
  expectTypeOf(through).toEqualTypeOf<Protection>()
  expectTypeOf(awaiting).toEqualTypeOf<Protection>()
  expectTypeOf(typed).toEqualTypeOf<Protection<IncomingMessage>>()
  chain(next => (request, context) => next(request, context), total)
  chain<IncomingMessage>(web, next => async (request, context) => {
    expectTypeOf(request.url).toEqualTypeOf<string | undefined>()
    return next(request, context)
  })
  expect(await chain(through, awaiting)(async (x: number) => x + 1)(1)).toBe(2)
})

test('functions that pass a middleware on keep what it needs', () => {
  function around<Req, Res>(middleware: Middleware<Req, Res>, handler: Handler<Req, Res>): Handler<Req, Res> {
    return chain(middleware)(handler)
  }
  const list: readonly Protection[] = [total, total]
  expectTypeOf(chain(...list)).toEqualTypeOf<Protection>()
  expectTypeOf(chain(...list, web)).toEqualTypeOf<Protection<IncomingMessage>>()
  expectTypeOf(around(web, async () => 3)).toEqualTypeOf<Handler<IncomingMessage, number>>()
})

test('the ticket of a gate has one type on the way in and on the way out', () => {
  const timed = gate({
    kind: 'other',
    name: 'timed',
    admit: (_request: IncomingMessage, _context, now) => now,
    settle(ticket) {
      expectTypeOf(ticket).toBeNumber()
    },
  })
  expectTypeOf(timed).toEqualTypeOf<Protection<IncomingMessage>>()
})
