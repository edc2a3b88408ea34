import { describe, expect, expectTypeOf, it } from 'vitest'
import { createContext, openContext } from '../core/context.ts'
import { manualClock } from './manual-clock.ts'
import { settled } from './settled.ts'
import { type Arrival, type SimulatedBackend, simulatedBackend } from './simulated-backend.ts'

const make = () => {
  const clock = manualClock({ startMs: 0 })
  const log: string[] = []
  const call = (backend: SimulatedBackend<string, any>, name: string, timeoutMs?: number): void => {
    backend(name, createContext({ clock, timeoutMs })).then(
      answer => log.push(`${clock.now()} ${name} ${answer}`),
      error => log.push(`${clock.now()} ${name} ${(error as { reason?: string }).reason ?? error}`),
    )
  }
  return { clock, log, call }
}

describe('simulatedBackend', () => {
  it('takes one turn after the other, and the last again and again', async () => {
    const { clock, log, call } = make()
    const backend = simulatedBackend<string, string>({
      clock,
      script: [{ latencyMs: 10, answer: 'one' }, { latencyMs: 5, fail: 'down' }, { answer: 'more' }],
    })
    for (const name of ['a', 'b', 'c', 'd']) call(backend, name)
    await clock.advance(10)
    expect(log).toEqual(['0 c more', '0 d more', '5 b down', '10 a one'])
    expect(backend.snapshot()).toEqual({
      calls: 4,
      inFlight: 0,
      maxInFlight: 4,
      queued: 0,
      answered: 3,
      failed: 1,
      cancelled: 0,
    })
  })

  it('works each turn out where the script is a function', async () => {
    const { clock, log, call } = make()
    const arrivals: Arrival<string>[] = []
    const backend = simulatedBackend<string, string>({
      clock,
      random: () => 0.25,
      script: arrival => {
        arrivals.push(arrival)
        return { latencyMs: 40 * arrival.random(), answer: `for ${arrival.request}` }
      },
    })
    call(backend, 'a')
    await clock.advance(3)
    call(backend, 'b')
    await clock.advance(20)
    expect(log).toEqual(['10 a for a', '13 b for b'])
    expect(arrivals.map(({ number, now }) => [number, now])).toEqual([
      [1, 0],
      [2, 3],
    ])
  })

  it('serves so many at once, and the others in the order in which they came', async () => {
    const { clock, log, call } = make()
    const backend = simulatedBackend<string, string>({
      clock,
      slots: 2,
      script: [{ latencyMs: 10, answer: 'ok' }],
    })
    for (const name of ['a', 'b', 'c', 'd', 'e']) call(backend, name)
    expect([backend.inFlight, backend.queued]).toEqual([2, 3])
    await clock.advance(30)
    expect(log).toEqual(['10 a ok', '10 b ok', '20 c ok', '20 d ok', '30 e ok'])
    expect(backend.maxInFlight).toBe(2)
    await settled({ clock, mechanisms: [backend] })
  })

  it('ends a call with its context, and gives its slot or its place to others', async () => {
    const { clock, log, call } = make()
    const backend = simulatedBackend<string, string>({
      clock,
      slots: 1,
      script: [{ hang: true }, { latencyMs: 10, answer: 'ok' }],
    })
    call(backend, 'hangs', 20)
    call(backend, 'leaves', 5)
    call(backend, 'waits', 100)
    call(backend, 'expired', 0)
    await clock.advance(30)
    expect(log).toEqual([
      '0 expired deadline-exceeded',
      '5 leaves deadline-exceeded',
      '20 hangs deadline-exceeded',
      '30 waits ok',
    ])
    expect(backend.snapshot()).toMatchObject({ calls: 4, cancelled: 3, answered: 1 })
    await settled({ clock, mechanisms: [backend] })
  })

  it('holds the slot of a stubborn call to its end', async () => {
    const { clock, log, call } = make()
    const backend = simulatedBackend<string, string>({
      clock,
      slots: 1,
      script: [{ latencyMs: 50, answer: 'late', stubborn: true }, { answer: 'ok' }],
    })
    call(backend, 'stubborn', 10)
    call(backend, 'next')
    await clock.advance(10)
    expect(backend.snapshot()).toMatchObject({ cancelled: 1, inFlight: 1, queued: 1 })
    await clock.advance(40)
    expect(log).toEqual(['50 stubborn late', '50 next ok'])
  })

  it('refuses a call that had ended before it came', async () => {
    const clock = manualClock()
    const backend = simulatedBackend({ clock, script: [{ answer: 1 }] })
    const { context, cancel } = openContext({ clock })
    cancel('gone')
    await expect(backend(undefined, context)).rejects.toBe('gone')
    expect(backend.snapshot()).toMatchObject({ calls: 1, cancelled: 1, inFlight: 0 })
  })

  it('goes on by another script when told, and counts from anew when told', async () => {
    const { clock, log, call } = make()
    const backend = simulatedBackend<string, string>({ clock, script: [{ answer: 'ok' }], name: 'db' })
    call(backend, 'a')
    backend.play([{ fail: 'down' }])
    call(backend, 'b')
    backend.play([{ answer: 'back' }])
    call(backend, 'c')
    await clock.advance(0)
    expect(log).toEqual(['0 a ok', '0 b down', '0 c back'])
    backend.reset()
    expect(backend.snapshot()).toMatchObject({ calls: 0, maxInFlight: 0, answered: 0, failed: 0 })
    expect(backend.name).toBe('db')
  })

  it('serves time by the clock of the call where it has none of its own', async () => {
    const clock = manualClock()
    const backend = simulatedBackend({ script: [{ latencyMs: 10, answer: 'ok' }] })
    const answer = backend(undefined, createContext({ clock }))
    expect(clock.armed).toBe(1)
    await clock.advance(10)
    expect(await answer).toBe('ok')
    expectTypeOf(backend).toExtend<(request: unknown, context: never) => Promise<unknown>>()
  })

  it('checks what it is told', async () => {
    expect(() => simulatedBackend({ script: [] })).toThrow('Expected `script` to be a function or an array')
    expect(() => simulatedBackend({ script: [{}], slots: 0 })).toThrow(
      'Expected `slots` to be a whole number from 1 up',
    )
    expect(() => simulatedBackend({ script: [{}], name: '' })).toThrow('Expected `name`')
    expect(() => simulatedBackend({ script: [{}], capacity: 1 } as never)).toThrow('has no option `capacity`')
    const wrong = simulatedBackend({ script: [{ latencyMs: Number.NaN }] })
    await expect(wrong(undefined, createContext())).rejects.toThrow('Expected `latencyMs`')
  })
})
