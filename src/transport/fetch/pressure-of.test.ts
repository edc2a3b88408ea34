import { expect, test } from 'vitest'
import { parked, start, until } from '../../../test/support/shed-server.ts'
import { chain, layer } from '../../core/chain.ts'
import { fixed } from '../../shedding/index.ts'
import { pressureOf } from './pressure-of.ts'
import { protectFetch } from './protect-fetch.ts'

test('what a service says of itself, in its answers and in its refusals, to the caller and to the chain', async () => {
  const { waiting, listener } = parked()
  const { port, get } = await start(fixed({ limit: 1 }), listener)
  const seen: number[] = []
  const follow = layer<unknown, Response>(
    { kind: 'other', name: 'follow' },
    next => async (request, context) => {
      try {
        const response = await next(request, context)
        seen.push(pressureOf(response))
        return response
      } catch (error) {
        seen.push(pressureOf(error))
        throw error
      }
    },
  )
  const call = protectFetch(chain(follow))
  const first = get()
  await until(() => waiting.length === 1)
  const refused = await call(`http://127.0.0.1:${port}/`)
  expect(refused.status).toBe(503)
  expect(pressureOf(refused)).toBe(0.75)
  waiting[0]!()
  await first
  const last = call(`http://127.0.0.1:${port}/`)
  await until(() => waiting.length === 2)
  waiting[1]!()
  const served = await last
  expect(pressureOf(served)).toBeCloseTo(0.67)
  expect(seen).toEqual([pressureOf(refused), pressureOf(served)])
  await served.text()
})

test.each([
  ['an answer that says nothing', new Response()],
  ['one that makes no sense', new Response(null, { headers: { 'x-pressure': 'high' } })],
  ['an error', new Error('no')],
  ['an error with other headers', Object.assign(new Error('no'), { headers: { 'x-pressure': '1' } })],
  ['nothing', undefined],
])('%s', (_name, answer) => {
  expect(pressureOf(answer)).toBe(0)
})
