import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { circuit } from '../breaker/circuit.ts'
import { breaker } from '../breaker/middleware.ts'
import { throttle } from '../breaker/throttle.ts'
import { chain } from '../core/chain.ts'
import { openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/index.ts'
import { hedge } from './hedge.ts'
import { retry } from './retry.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

test('after twenty thousand calls of every kind nothing stays behind', async () => {
  const clock = manualClock()
  const service = new AbortController()
  let inFlight = 0
  const handler: Handler<number, number> = async (n, context) => {
    inFlight++
    try {
      if (n % 7 === 0) await sleep(context, 30)
      if (n % 11 === 0) throw Object.assign(new Error('down'), { status: 503 })
      if (n % 13 === 0) throw Object.assign(new Error('not found'), { status: 404 })
      if (n % 17 === 0 && context.signal.aborted) throw context.signal.reason
      return n
    } finally {
      inFlight--
    }
  }
  // Neither gets in the way, so that everything further in happens too.
  const inner = [breaker(throttle({ clock, minRequests: 1e9 })), breaker(circuit({ clock, minimum: 1e9 }))]
  const stacks = [
    chain(retry({ idempotent: true }), ...inner)(handler),
    chain(hedge({ idempotent: true, delayMs: 10 }), ...inner)(handler),
    chain(hedge({ idempotent: true, minSamples: 50, periodMs: 100 }), ...inner)(handler),
  ]

  const play = async (calls: number): Promise<void> => {
    const batch = 500
    for (let from = 0; from < calls; from += batch) {
      const answers: Promise<unknown>[] = []
      for (let n = from; n < from + batch; n++) {
        const timeoutMs = n % 19 === 0 ? 20 : Infinity
        const open = openContext({ clock, signal: service.signal, timeoutMs })
        const answer = stacks[n % 3]!(n, open.context).catch(() => {})
        answers.push(answer.then(open.close))
        if (n % 23 === 0) open.cancel()
      }
      await clock.advance(20_000)
      await Promise.all(answers)
    }
    expect(inFlight).toBe(0)
    expect(clock.armed).toBe(0)
    expect(getEventListeners(service.signal, 'abort')).toHaveLength(0)
  }

  await play(5_000)
  collect()
  const before = process.memoryUsage().heapUsed
  await play(15_000)
  collect()
  const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20
  expect(grown).toBeLessThan(3)
})
