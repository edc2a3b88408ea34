import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { RawConnection, type Running, running } from '../../../test/support/http.ts'
import { currentContext } from '../../core/ambient.ts'
import { type Context, openContext } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { isRejection, Rejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/index.ts'
import { requestsOn } from './connection.ts'
import { Exchange, exchangeOf, type Framework, proceed } from './exchange.ts'

let server: Running
let connection: RawConnection
afterEach(async () => {
  connection.close()
  await server.stop()
})

interface Part {
  /** @default 100 ms of a clock that stands still */
  readonly timeoutMs?: number
  readonly call?: Handler<unknown, void>
  begin?(response: ServerResponse): void
  fail?: Framework['fail']
}

/** Asks a server whose requests each go through an exchange. */
async function ask({ timeoutMs = 100, call = proceed, begin, fail }: Part) {
  const clock = manualClock()
  const { context } = openContext({ clock, timeoutMs })
  let arrived!: (seen: {
    request: IncomingMessage
    response: ServerResponse
    closed: Promise<unknown>
  }) => void
  const arrival = new Promise<Parameters<typeof arrived>[0]>(resolve => {
    arrived = resolve
  })
  /** What the chain was told: nothing if the work went well. */
  let told!: Promise<unknown>
  server = await running((request, response) => {
    const framework: Framework = {
      begin: () => begin?.(response),
      fail: fail ?? (error => response.end(`framework: ${error}`)),
    }
    arrived({ request, response, closed: once(response, 'close') })
    const exchange = new Exchange(
      request,
      response,
      framework,
      context,
      requestsOn(request.socket),
      undefined,
    )
    exchange.listen()
    exchange.pass((request, context) => {
      const work = call(request, context)
      told = work.then(
        () => undefined,
        error => error,
      )
      return work
    })
  })
  connection = await RawConnection.open(server.port)
  connection.ask('GET')
  return { clock, context, told: () => told, ...(await arrival) }
}

const refusal = new Rejection({ reason: 'shed', policy: 'p', retry: 'elsewhere' })

describe('Exchange', () => {
  it('lets a request on once, in its context, and is over when the response has been sent', async () => {
    const begun: (Context | undefined)[] = []
    let inner!: Context
    let again = false
    const { told, request, response, closed, clock } = await ask({
      call: (request, context) => {
        inner = context.with({ tenant: 'blue' })
        const work = proceed(request, inner)
        again = proceed(request, inner) === work
        return work
      },
      begin: () => begun.push(currentContext()),
    })
    expect(begun).toEqual([inner])
    expect(again).toBe(true)
    expect(exchangeOf(request)?.context).toBe(inner)
    expect(clock.armed).toBe(1)
    response.end('done')
    expect(await told()).toBeUndefined()
    await closed
    expect((await connection.answer()).body).toBe('done')
    expect(exchangeOf(request)).toBeUndefined()
    expect(clock.armed).toBe(0)
    expect(inner.ended).toBe(false)
  })

  it.each([
    [499, undefined, undefined],
    [500, undefined, 'Answered with status 500'],
    [200, 'noted', 'noted'],
    [500, 'noted', 'noted'],
  ])('tells the chain how the work went: status %d, noted %s', async (status, noted, expected) => {
    const { told, request, response } = await ask({})
    if (noted !== undefined) exchangeOf(request)!.note(new Error(noted))
    response.writeHead(status).end()
    expect(((await told()) as Error | undefined)?.message).toBe(expected)
  })

  it('ends the work of a client that has gone as cancelled', async () => {
    const { told, context, request, clock, closed } = await ask({})
    const { context: inner } = exchangeOf(request)!
    connection.close()
    expect(isRejection(await told(), 'cancelled')).toBe(true)
    await closed
    expect(context.scope.ending).toBe('cancelled')
    expect(inner.ended).toBe(true)
    expect(exchangeOf(request)).toBeUndefined()
    expect(clock.armed).toBe(0)
  })

  it('does not let a request on whose client has gone while it waited in the chain', async () => {
    let release!: () => void
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const { told, context } = await ask({
      call: (request, context) => held.then(() => proceed(request, context)),
      begin: () => expect.unreachable(),
    })
    const ended = once(context.signal, 'abort')
    connection.close()
    await ended
    release()
    expect(isRejection(await told(), 'cancelled')).toBe(true)
  })

  it('answers a refusal of the chain; what fails otherwise is up to the framework', async () => {
    const begin = (): never => expect.unreachable()
    await ask({ call: () => Promise.reject(refusal), begin })
    const refused = await connection.answer()
    expect([refused.status, refused.headers['x-rejected']]).toEqual([503, 'shed'])
    connection.close()
    await server.stop()
    for (const call of [
      () => Promise.reject('broken'),
      () => {
        throw 'broken'
      },
    ]) {
      await ask({ call, begin })
      expect((await connection.answer()).body).toContain('framework: broken')
      connection.close()
      await server.stop()
    }
  })

  it('answers for a handler that has begun when the time is up, and takes its response away', async () => {
    const { clock, response, told } = await ask({})
    await clock.advance(100)
    const answer = await connection.answer()
    expect([answer.status, answer.headers['x-rejected']]).toEqual([504, undefined])
    expect(isRejection(await told(), 'deadline-exceeded')).toBe(true)
    expect(() => response.writeHead(200).end('late')).not.toThrow()
  })

  it('cuts off a response that has begun when the time is up', async () => {
    const { clock, told } = await ask({ begin: response => response.write('half') })
    await connection.until(/half/)
    await clock.advance(100)
    await connection.closed
    expect(isRejection(await told(), 'deadline-exceeded')).toBe(true)
  })

  it('asks no chain when no time is left', async () => {
    await ask({ timeoutMs: 0, call: () => expect.unreachable() })
    const { status, headers } = await connection.answer()
    expect([status, headers['x-rejected']]).toEqual([504, 'deadline-exceeded'])
  })
})
