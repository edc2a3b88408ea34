import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { chain, describe } from '../core/chain.ts'
import { createContext, openContext } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { deadlineExceeded, type Reason, Rejection } from '../core/rejection.ts'
import { manualClock } from '../testing/index.ts'
import { type Circuit, circuit } from './circuit.ts'
import { keyed } from './keyed.ts'
import { breaker } from './middleware.ts'
import { throttle } from './throttle.ts'

const clock = manualClock()
const context = createContext({ clock })

function refusal(reason: Reason, begun = false): Rejection {
  return new Rejection({ reason, policy: 'inner', retry: 'elsewhere', begun })
}

function grpc(code: number): Error {
  return Object.assign(new Error(`${code}`), { code, details: '', metadata: {} })
}

/** What one call that fails with `error` leaves in the window. */
async function counted(kind: 'circuit' | 'throttle', error: unknown): Promise<string> {
  const mechanism = kind === 'circuit' ? circuit({ clock }) : throttle({ clock })
  const call = chain(breaker(mechanism))(() => Promise.reject(error))
  await expect(call(undefined, context)).rejects.toBe(error)
  const snapshot = mechanism.snapshot() as never as Record<string, any>
  const [good, bad] =
    kind === 'circuit'
      ? [snapshot.total - snapshot.failures, snapshot.failures]
      : [snapshot.classes.critical.accepted, snapshot.classes.critical.failed]
  return good > 0 ? 'success' : bad > 0 ? 'failure' : 'neutral'
}

test('an error keeps its identity, and an open circuit answers without calling', async () => {
  const real = circuit({ clock, consecutiveFailures: 1, name: 'payment' })
  let calls = 0
  const error = new Error('down')
  const call = chain(breaker(real))(() => {
    calls++
    return Promise.reject(error)
  })
  await expect(call(undefined, context)).rejects.toBe(error)
  await expect(call(undefined, context)).rejects.toMatchObject({ reason: 'breaker-open', policy: 'payment' })
  expect(calls).toBe(1)
})

test('a handler that throws at once counts like one that rejects', async () => {
  const real = circuit({ clock, consecutiveFailures: 1 })
  const call = chain(breaker(real))((): Promise<never> => {
    throw new Error('down')
  })
  await expect(call(undefined, context)).rejects.toThrow('down')
  expect(real.snapshot().state).toBe('open')
})

test('what is a failure, by default', async () => {
  const both = (error: unknown) => Promise.all([counted('circuit', error), counted('throttle', error)])
  const notFound = Object.assign(new Error(), { status: 404 })
  const internal = Object.assign(new Error(), { status: 500 })
  expect(await both(new Error('boom'))).toEqual(['failure', 'failure'])
  expect(await both(Object.assign(new Error(), { code: 'ECONNREFUSED' }))).toEqual(['failure', 'failure'])
  expect(await both(grpc(14))).toEqual(['failure', 'failure'])
  expect(await both(grpc(8))).toEqual(['failure', 'failure'])
  expect(await both(grpc(4))).toEqual(['failure', 'failure'])
  expect(await both(notFound)).toEqual(['success', 'success'])
  expect(await both(grpc(3))).toEqual(['success', 'success'])
  // Answered, though with an error of its own: no sign of overload.
  expect(await both(internal)).toEqual(['failure', 'success'])
  expect(await both(grpc(13))).toEqual(['failure', 'success'])
  expect(await both(grpc(1))).toEqual(['neutral', 'neutral'])
})

test('a refusal from further in says nothing of the dependency; a timeout and an injected fault do', async () => {
  expect(await counted('circuit', refusal('bulkhead-full'))).toBe('neutral')
  expect(await counted('circuit', refusal('no-endpoint'))).toBe('neutral')
  expect(await counted('circuit', refusal('cancelled', true))).toBe('neutral')
  expect(await counted('circuit', refusal('fault-injected'))).toBe('failure')
  expect(await counted('circuit', deadlineExceeded('inner', true))).toBe('failure')
  // There was no time left to call at all.
  expect(await counted('circuit', deadlineExceeded('inner', false))).toBe('neutral')
})

test('isFailure decides otherwise, and one that throws cannot hang the call', async () => {
  const error = new Error('maintenance')
  for (const [isFailure, state] of [
    [() => false, { total: 1, failures: 0 }],
    [() => 'neutral' as const, { total: 0, failures: 0 }],
    [() => true, { total: 1, failures: 1 }],
    [
      () => {
        throw new Error('a bug')
      },
      { total: 1, failures: 1 },
    ],
  ] as const) {
    const real = circuit({ clock })
    const call = chain(breaker(real, { isFailure }))(() => Promise.reject(error))
    await expect(call(undefined, context)).rejects.toBe(error)
    expect(real.snapshot()).toMatchObject(state)
  }
})

test('a caller that goes away says nothing, and its probe gives the place back', async () => {
  const real = circuit({ clock, consecutiveFailures: 1 })
  let fails = true
  const call = chain(breaker(real))(() => (fails ? Promise.reject(new Error()) : new Promise(() => {})))
  await expect(call(undefined, context)).rejects.toThrow()
  fails = false
  clock.jump(6_000)
  const open = openContext({ clock })
  const probe = call(undefined, open.context)
  expect(real.snapshot().probes.inFlight).toBe(1)
  open.cancel()
  await expect(probe).rejects.toMatchObject({ reason: 'cancelled' })
  expect(real.snapshot()).toMatchObject({ state: 'half-open', probes: { inFlight: 0, failures: 0 } })
})

test('nobody waits for the verdict on a half-open circuit, and so an abort has nothing to wait for either', async () => {
  const clock = manualClock()
  const dependency = circuit({
    clock,
    consecutiveFailures: 1,
    openMs: 100,
    jitterRatio: 0,
    successesToClose: 1,
  })
  let calls = 0
  let answer: ((value: string) => void) | undefined
  const call = breaker(dependency)(async (how: string) => {
    calls++
    if (how === 'fails') throw new Error('down')
    return new Promise<string>(resolve => {
      answer = resolve
    })
  })
  await call('fails', createContext({ clock })).catch(() => {})
  clock.jump(100)
  const probe = call('tries', createContext({ clock }))
  expect(dependency.state).toBe('half-open')

  // Those who come while the probe is out have their answer before anything else happens, aborted or not.
  const controller = new AbortController()
  const answers: unknown[] = []
  for (let i = 0; i < 100; i++) {
    const context = createContext({ clock, signal: controller.signal })
    call('comes', context).catch((error: { reason?: string }) => answers.push(error.reason))
  }
  controller.abort('gone')
  await clock.flush()
  expect(answers).toEqual(Array.from({ length: 100 }, () => 'breaker-open'))
  expect(calls).toBe(2)
  answer!('it works')
  expect(await probe).toBe('it works')
  await clock.flush()
  // And nobody is let loose by the good news.
  expect(calls).toBe(2)
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
})

test('one call that times out does not disturb the others', async () => {
  const real = circuit({ clock })
  const signals: AbortSignal[] = []
  const handler: Handler<number, string> = (_ms, context) => {
    signals.push(context.signal)
    return new Promise(resolve => context.signal.addEventListener('abort', () => resolve('late')))
  }
  const call = chain(breaker(real))(handler)
  const short = openContext({ clock, timeoutMs: 50 })
  const long = openContext({ clock, timeoutMs: 60_000 })
  const late = call(1, short.context)
  const healthy = [call(2, long.context), call(3, long.context)]
  const failed = expect(late).rejects.toMatchObject({ reason: 'deadline-exceeded' })
  await clock.advance(60)
  await failed
  expect(signals.map(signal => signal.aborted)).toEqual([true, false, false])
  long.cancel()
  await Promise.allSettled(healthy)
  expect(real.snapshot()).toMatchObject({ total: 1, failures: 1 })
  expect(clock.armed).toBe(0)
})

test('a registry gives every key a circuit of its own, and lets calls without a key pass', async () => {
  const registry = keyed<Circuit>(() => circuit({ clock, consecutiveFailures: 1 }))
  let calls = 0
  const call = breaker(registry, { key: (endpoint: string | undefined) => endpoint })(
    (endpoint: string | undefined) => {
      calls++
      return endpoint === 'b' ? Promise.resolve('ok') : Promise.reject(new Error('down'))
    },
  )
  await expect(call('a', context)).rejects.toThrow('down')
  await expect(call('a', context)).rejects.toMatchObject({ reason: 'breaker-open' })
  await expect(call('b', context)).resolves.toBe('ok')
  await expect(call(undefined, context)).rejects.toThrow('down')
  await expect(call(undefined, context)).rejects.toThrow('down')
  expect(calls).toBe(4)
})

test('chain knows a circuit from a throttle', () => {
  expect(
    describe(
      chain(
        breaker(throttle({ name: 'a-throttle' })),
        breaker(circuit({ name: 'a-circuit' })),
        breaker(
          keyed(() => circuit()),
          { key: () => 'x' },
        ),
      ),
    ),
  ).toEqual([
    { kind: 'throttle', name: 'a-throttle' },
    { kind: 'breaker', name: 'a-circuit' },
    { kind: 'breaker', name: 'keyed' },
  ])
})

test('options are checked', () => {
  expect(() => breaker(circuit(), { isFailure: 1 as never })).toThrow('Expected `isFailure` to be a function')
  expect(() => breaker(circuit(), { key: () => 'x' } as never)).toThrow('breaker has no option `key`')
  expect(() =>
    breaker(
      keyed(() => circuit()),
      {} as never,
    ),
  ).toThrow('Expected `key` to be a function')
})
