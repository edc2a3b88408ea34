/** The laws under load, in virtual time: the same curves as the benchmark draws, in milliseconds and always the same. */
import { describe, expect, test } from 'vitest'
import {
  disturbed,
  figures,
  type HandlerName,
  handlerNames,
  handlers,
  loopMs,
  possible,
  quantile,
  simulate,
} from '../../test/support/overload.ts'
import { adaptive } from './adaptive.ts'
import type { Shedder } from './shedder.ts'

function curve(name: HandlerName, load: number, shedder: Shedder | undefined) {
  const handler = handlers[name]
  const report = simulate({
    handler,
    loads: [
      [0.5, 1],
      [load, 3],
      [0.5, 2],
    ],
    shedder,
  })
  const [, during] = report.phases
  return {
    ...figures(during!, handler, 3),
    /** Of the whole seconds after the step. */
    steadyP99Ms: Math.max(...report.seconds.slice(2, 4).map(({ latencies }) => quantile(latencies, 0.99))),
    after: report.seconds.slice(4, 6).map(({ good, sent }) => good / sent),
  }
}

describe.each(handlerNames)('%s', name => {
  test.each([2, 4, 8])('at %d times its capacity it serves what can be served, and soon', load => {
    const { goodput, steadyP99Ms, p99Ms, after } = curve(name, load, adaptive())
    expect(goodput).toBeGreaterThanOrEqual(0.95 * possible(name, load))
    expect(steadyP99Ms).toBeLessThanOrEqual(60)
    // With the step itself: before a limit is known, calls that wait, or put their work off, begin without one.
    const stepMs: Partial<Record<HandlerName, number>> = { costMix: 65, pool: 75, deferred: 105 }
    expect(p99Ms).toBeLessThanOrEqual(stepMs[name] ?? 60)
    expect(after[0]).toBeGreaterThan(0.95)
    expect(after[1]).toBe(1)
  })

  test('three tenths of a second after a step it is there, and half a second after that has gone it is over', () => {
    const handler = handlers[name]
    for (const load of [2, 4, 8]) {
      const report = simulate({
        handler,
        loads: [
          [0.5, 2],
          [load, 0.3],
          [load, 1],
          [0.5, 0.5],
          [0.5, 2],
        ],
        shedder: adaptive(),
      })
      const [, , there, , over] = report.phases
      expect(there!.good / handler.capacity).toBeGreaterThan(0.8 * possible(name, load))
      expect(over!.refused).toBe(0)
      expect(quantile(over!.latencies, 0.99)).toBeLessThan(name === 'costMix' ? 100 : 60)
    }
  })

  test('with refusals as cheap as they are measured, 0.95 of the capacity is left at four times', () => {
    const own = handlers[name]
    // 10 µs for reading and refusing, and the same for reading and answering.
    const handler = { ...own, capacity: name === 'pool' ? 1_000 : 1_000 / (1_000 / own.capacity - 0.01) }
    for (const load of [2, 4]) {
      const report = simulate({
        handler,
        loads: [
          [0.5, 1],
          [load, 4],
        ],
        shedder: adaptive(),
        readMs: 0.006,
        writeMs: 0.004,
      })
      expect(figures(report.phases[1]!, handler, 4).goodput).toBeGreaterThanOrEqual(0.95)
    }
  })

  test('at 0.9 of its capacity hardly anybody is refused', () => {
    const handler = handlers[name]
    const report = simulate({ handler, loads: [[0.9, 25]], shedder: adaptive() })
    expect(figures(report.phases[0]!, handler, 25).refused).toBeLessThanOrEqual(0.01)
  })

  test('at 0.7, with 80 ms in every 5 s in which the loop stands still, nobody is', () => {
    const handler = handlers[name]
    const report = simulate({ handler, loads: [[0.7, 32]], shedder: adaptive(), pause: [80, 5_000] })
    expect(figures(report.phases[0]!, handler, 32).refused).toBeLessThanOrEqual(0.001)
  })

  test('at 0.7, with a few hundredths of a second stolen now and then, an overload is not seen where there is none', () => {
    const own = handlers[name]
    let refused = 0
    let sent = 0
    for (let seed = 1; seed <= 6; seed++) {
      const handler = { ...own, make: disturbed(own.make, { everyMs: 800, fromMs: 15, toMs: 45, seed }) }
      const report = simulate({ handler, loads: [[0.7, 5]], shedder: adaptive(), seed })
      refused += report.phases[0]!.refused
      sent += report.phases[0]!.sent
    }
    expect(refused / sent).toBeLessThanOrEqual(0.002)
  })

  test('at its capacity, and a little above, it serves nearly all of it', () => {
    for (const load of [1, 1.1]) expect(curve(name, load, adaptive()).goodput).toBeGreaterThan(0.95)
  })

  test('without protection there is nothing left of it', () => {
    const { goodput, after } = curve(name, 4, undefined)
    expect(goodput).toBeLessThan(0.15)
    expect(after[0]).toBeLessThan(0.9)
  })

  test('a step up is served from the first second on, and refused calls are told soon', () => {
    const handler = handlers[name]
    const report = simulate({
      handler,
      loads: [
        [0.5, 1],
        [4, 1],
      ],
      shedder: adaptive(),
    })
    expect(report.seconds[1]!.good).toBeGreaterThan(0.8 * handler.capacity * possible(name, 4))
    expect(figures(report.phases[1]!, handler, 1).refusalP50Ms).toBeLessThan(30)
  })

  test('clients that try again at once three times leave no lasting damage', () => {
    const report = simulate({
      handler: handlers[name],
      loads: [
        [0.7, 1],
        [3, 5],
        [0.7, 3],
      ],
      shedder: adaptive(),
      retries: 3,
      connections: 2_048,
    })
    // The second after the trigger, and those that follow.
    for (const { good, sent } of report.seconds.slice(7, 9)) expect(good / sent).toBeGreaterThan(0.99)
  })

  test('a fresh connection for each request is no different', () => {
    const handler = handlers[name]
    const report = simulate({
      handler,
      loads: [
        [0.5, 1],
        [4, 3],
      ],
      shedder: adaptive(),
      connections: 'fresh',
    })
    const perRequestMs = name === 'pool' ? 0 : (4 * 0.025) / loopMs[name]
    expect(figures(report.phases[1]!, handler, 3).goodput).toBeGreaterThan(
      0.95 * (possible(name, 4) - perRequestMs),
    )
  })
})
