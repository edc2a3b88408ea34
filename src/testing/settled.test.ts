import { afterEach, expect, test, vi } from 'vitest'
import { chain } from '../core/chain.ts'
import { systemClock } from '../core/clock.ts'
import { createContext, openContext } from '../core/context.ts'
import { deadline } from '../timeout/deadline.ts'
import { quotas } from '../timeout/quotas.ts'
import { manualClock } from './manual-clock.ts'
import { settled } from './settled.ts'
import { simulatedBackend } from './simulated-backend.ts'

afterEach(() => {
  vi.useRealTimers()
})

test('what a call holds on to is listed while it goes on, and gone when it is over', async () => {
  const clock = manualClock()
  const source = new AbortController()
  const parent = openContext({ clock })
  const quota = quotas({ redis: 100 }, { name: 'calls' })
  const backend = simulatedBackend({ clock, script: [{ latencyMs: 30 }], slots: 1 })
  const call = chain(deadline({ totalMs: 50 }), quota.redis.middleware)(backend)
  const everything = {
    clock,
    signals: [new AbortController().signal, source.signal],
    contexts: [parent.context],
    mechanisms: [quota, backend],
  }
  await settled(everything)
  const context = () => createContext({ parent: parent.context, signal: source.signal })
  const answers = [call(undefined, context()), call(undefined, context()).catch(() => {})]
  const error = await settled(everything).catch((error: Error) => error)
  expect((error as Error).message).toBe(
    [
      'Expected everything to be settled, but:',
      '- the clock has 3 alarms armed',
      '- signals[1] has 1 listener',
      '- contexts[0] still bounds a call, or a signal of it is still waited for',
      "- quotas 'calls' has quotas.redis.inFlight 2",
      "- mechanism 'backend' has inFlight 1",
      "- mechanism 'backend' has queued 1",
    ].join('\n'),
  )
  await clock.advance(60)
  await Promise.all(answers)
  await settled(everything)
})

test('what is ready to run is let run first', async () => {
  let inFlight = 1
  void Promise.resolve()
    .then(() => {})
    .then(() => {
      inFlight = 0
    })
  await settled({ mechanisms: [{ name: 'a', snapshot: () => ({ inFlight }) }] })
})

test('counts are found wherever they stand, and nothing else is taken for one', async () => {
  const snapshot = (): object => ({
    lanes: new Map([['vip', { waiting: 2 }]]),
    list: [{ active: 1 }],
    active: true,
    queued: 0,
    inFlightLimit: 10,
    nothing: null,
  })
  await expect(settled({ mechanisms: [{ kind: 'lanes', name: 'x', snapshot }] })).rejects.toThrow(
    "- lanes 'x' has lanes.vip.waiting 2\n- lanes 'x' has list.0.active 1",
  )
})

test('it works with the process clock, with fake timers, and with nothing to check', async () => {
  await settled({})
  await settled({ clock: systemClock })
  vi.useFakeTimers()
  await settled({ clock: systemClock })
  await expect(settled({ timers: 0 } as never)).rejects.toThrow('settled has no option `timers`')
})
