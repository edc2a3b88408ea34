import { describe, expect, it } from 'vitest'
import { adviceOf, advise } from '../../core/advice.ts'
import { createContext, openContext } from '../../core/context.ts'
import { deadlineExceeded, isRejection } from '../../core/rejection.ts'
import { manualClock } from '../../testing/index.ts'
import { Exchange, type FetchLike, type Sending } from './exchange.ts'
import { HttpFailure } from './http-failure.ts'

const request = { url: 'http://shop.test/', method: 'PUT', headers: new Headers({ 'x-own': '1' }) }

function start(fetch: FetchLike, sending: Partial<Sending> = {}) {
  const clock = manualClock()
  const call = openContext({ clock })
  const exchange = new Exchange({
    fetch,
    isFailure: ({ status }) => status >= 500,
    propagate: true,
    input: 'http://user.test/',
    init: { method: 'GET', body: 'sent', headers: { 'x-old': '1' } },
    once: false,
    call,
    ...sending,
  })
  return { clock, call, exchange }
}

const thrown = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => expect.unreachable(),
    error => error,
  )

describe('Exchange', () => {
  it.each([
    [true, '300'],
    [false, null],
  ])(
    'sends what the chain made of the request; with the time left if it propagates (%s)',
    async (propagate, time) => {
      const sent: [unknown, RequestInit][] = []
      const { call, exchange } = start(async (input, init) => new Response(`${sent.push([input, init])}`), {
        propagate,
      })
      const response = await exchange.send(request, createContext({ parent: call.context, timeoutMs: 300 }))
      expect(await response.text()).toBe('1')
      const [[input, init]] = sent as [[unknown, RequestInit]]
      const headers = init.headers as Headers
      expect(input).toBe(request.url)
      expect(init).toMatchObject({ method: 'PUT', body: 'sent' })
      expect([headers.get('x-own'), headers.get('x-old')]).toEqual(['1', null])
      expect(headers.get('x-envoy-expected-rq-timeout-ms')).toBe(time)
      // The next attempt begins with what the user wrote.
      expect([...request.headers.keys()]).toEqual(['x-own'])
    },
  )

  it('sends nothing once the time is up or the call has ended', async () => {
    const { call, exchange } = start(() => expect.unreachable())
    const late = await thrown(exchange.send(request, createContext({ parent: call.context, timeoutMs: 0 })))
    expect(late).toMatchObject({ reason: 'deadline-exceeded', policy: 'fetch', begun: false })
    call.cancel('gone')
    expect(await thrown(exchange.send(request, call.context))).toBe('gone')
  })

  it('aborts an attempt whose context ends before there is a response', async () => {
    const { clock, call, exchange } = start(
      (_input, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    )
    const error = thrown(exchange.send(request, createContext({ parent: call.context, timeoutMs: 50 })))
    await clock.advance(50)
    expect(isRejection(await error, 'deadline-exceeded')).toBe(true)
    expect(clock.armed).toBe(0)
  })

  it('keeps the body after its attempt is over, until the time of the attempt or the call ends', async () => {
    for (const ends of ['time', 'call']) {
      let signal!: AbortSignal
      const { clock, call, exchange } = start(async (_input, init) => {
        signal = init.signal
        return new Response(new ReadableStream({}))
      })
      const attempt = openContext({ parent: call.context, timeoutMs: 50 })
      const response = await exchange.send(request, attempt.context)
      attempt.cancel()
      call.close()
      await clock.advance(49)
      expect(signal.aborted).toBe(false)
      if (ends === 'time') await clock.advance(1)
      else call.cancel('gone')
      expect(signal.reason).toEqual(ends === 'time' ? deadlineExceeded('fetch', true) : 'gone')
      expect(response.bodyUsed).toBe(false)
    }
  })

  it('returns the failed response that came out of the chain, with its advice, and frees the others', async () => {
    const freed: number[] = []
    let count = 0
    const { call, exchange } = start(async () => {
      const id = count++
      return new Response(new ReadableStream({ cancel: () => void freed.push(id) }), { status: 503 })
    })
    const first = (await thrown(exchange.send(request, call.context))) as HttpFailure
    const second = (await thrown(exchange.send(request, call.context))) as HttpFailure
    expect(first).toBeInstanceOf(HttpFailure)
    advise(second, { retry: 'never' })
    expect(exchange.outcome(second)).toBe(second.response)
    expect(adviceOf(second.response)).toEqual({ retry: 'never' })
    expect(freed).toEqual([0])
    const other = new Error('refused')
    expect(() => exchange.outcome(other)).toThrow(other)
    expect(freed).toEqual([0, 1])
  })

  it('sends what can be sent once no second time, and fails with the first error again', async () => {
    let count = 0
    const broken = new Error('reset')
    const fetch = (): Promise<never> => Promise.reject(++count === 1 ? broken : new Error('again'))
    const { call, exchange } = start(fetch, { once: true })
    expect(await thrown(exchange.send(request, call.context))).toBe(broken)
    expect(await thrown(exchange.send(request, call.context))).toBe(broken)
    expect(count).toBe(1)
  })
})
