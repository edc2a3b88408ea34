/** Loads that other shedders fall for, in virtual time. */
import { describe, expect, test } from 'vitest'
import {
  figures,
  handlerNames,
  handlers,
  pool,
  possible,
  quantile,
  seeded,
  simulate,
  simulateClosed,
} from '../../test/support/overload.ts'
import { adaptive } from './adaptive.ts'
import { bbr } from './bbr.ts'
import { gradient } from './gradient.ts'
import type { Shedder } from './shedder.ts'
import { vegas } from './vegas.ts'

describe('what other shedders fall for', () => {
  test('a cold start in the middle of an overload', () => {
    for (const name of handlerNames) {
      const handler = handlers[name]
      const report = simulate({ handler, loads: [[4, 4]], shedder: adaptive() })
      expect(figures(report.phases[0]!, handler, 4).goodput).toBeGreaterThan(0.9 * possible(name, 4))
      expect(report.seconds[1]!.good / handler.capacity).toBeGreaterThan(0.8 * possible(name, 4))
    }
  })

  test.each([
    [1, 20],
    [2, 50],
    [4, 100],
    [4, 20],
  ])('a cold start with closed clients on a small pool: %d places of %d ms', (places, ms) => {
    const clients = 128
    const capacity = (1_000 * places) / ms
    for (const withinMs of [1, 20]) {
      const seconds = simulateClosed({
        make: pool(places, () => ms),
        shedder: adaptive(),
        clients,
        withinMs,
        awayMs: 5,
        seconds: 10,
      })
      for (const answers of seconds.slice(1)) expect(answers.length).toBeGreaterThanOrEqual(0.95 * capacity)
      // Nobody is refused before anything is known, so those who came first are served first, however long that takes.
      const cleared = Math.ceil((1.1 * clients) / capacity) + 1
      // Three times what one takes undisturbed, or what a limit of 4 makes of it, and the wait in front.
      const soonMs = Math.max(3, 4 / places) * ms + 20
      for (const answers of seconds.slice(cleared + 1)) {
        expect(quantile(answers, 0.5)).toBeLessThanOrEqual(soonMs)
        expect(quantile(answers, 0.99)).toBeLessThanOrEqual(soonMs + ms)
      }
    }
  })

  test('a cold start of calls that take long and wait for no pool: nobody is refused', () => {
    for (const ratePerSecond of [500, 1_000, 4_000]) {
      for (const ms of [50, 200, 400]) {
        const report = simulate({
          handler: { capacity: ratePerSecond, make: pool(100_000, () => ms) },
          loads: [[1, 3]],
          shedder: adaptive(),
          goodMs: 1_000,
          connections: 4_000,
        })
        expect(report.phases[0]!.refused).toBe(0)
        expect(quantile(report.phases[0]!.latencies, 0.99)).toBeLessThan(ms + 30)
      }
    }
  })

  test('a cold start of calls that take anything and wait for no pool: few are refused, and soon nobody', () => {
    const times: ((random: () => number) => number)[] = [
      random => -50 * Math.log(1 - random()),
      random => (random() < 0.3 ? 2 : 100),
      random => 20 + 180 * random(),
    ]
    for (const timeOf of times) {
      let refused = 0
      let sent = 0
      for (let seed = 1; seed <= 8; seed++) {
        const random = seeded(7 * seed)
        const { seconds } = simulate({
          handler: { capacity: 1_000, make: pool(100_000, () => timeOf(random)) },
          loads: [[1, 4]],
          shedder: adaptive(),
          seed,
          connections: 4_000,
        })
        refused += seconds[0]!.refused
        sent += seconds[0]!.sent
        expect(seconds[3]!.refused / seconds[3]!.sent).toBeLessThan(0.05)
      }
      expect(refused / sent).toBeLessThan(0.2)
    }
  })

  test('a dependency that takes ten times as long for twenty seconds, and recovers', () => {
    for (const load of [0.3, 0.7, 2]) {
      const slowFrom = 1_005_000
      const holdMs = (now: number) => (now > slowFrom && now < slowFrom + 20_000 ? 200 : 20)
      const report = simulate({
        handler: { capacity: 1_000, make: pool(20, holdMs) },
        loads: [[load, 30]],
        shedder: adaptive(),
        goodMs: 1_000,
        timeoutMs: 3_000,
        connections: 4_000,
      })
      const slow = report.seconds.slice(8, 24).reduce((sum, { good }) => sum + good, 0) / 16
      expect(slow).toBeGreaterThan(75)
      for (const { good, sent } of report.seconds.slice(27)) {
        expect(good).toBeGreaterThan(0.95 * Math.min(sent, 1_000))
      }
    }
  })

  test('calls that all take 25 times as long, though nothing queues', () => {
    const slowFrom = 1_005_000
    const holdMs = (now: number) => (now > slowFrom && now < slowFrom + 20_000 ? 500 : 20)
    const report = simulate({
      handler: { capacity: 1_000, make: pool(100_000, holdMs) },
      loads: [[0.7, 28]],
      shedder: adaptive(),
      goodMs: 1_000,
      timeoutMs: 3_000,
      connections: 4_000,
    })
    for (const { good, sent } of report.seconds.slice(14, 24)) expect(good / sent).toBeGreaterThan(0.97)
    for (const { good, sent } of report.seconds.slice(26)) expect(good / sent).toBeGreaterThan(0.99)
  })

  test.each([1.4, 0.3])(
    'a flood in waves: %d s in which nothing comes are not taken for calls that take longer',
    gap => {
      const waves = 8
      for (const places of [4, 20]) {
        const handler = { capacity: places * 50, make: pool(places, () => 20) }
        const report = simulate({
          handler,
          loads: [
            [0.5, 1],
            ...Array.from(
              { length: waves },
              () =>
                [
                  [8, 0.7],
                  [0.001, gap],
                ] as const,
            ).flat(),
          ],
          shedder: adaptive(),
        })
        for (let wave = 1; wave < waves; wave++) {
          const { goodput, refused, p99Ms } = figures(report.phases[1 + 2 * wave]!, handler, 0.7)
          expect(goodput).toBeGreaterThan(0.9)
          expect(refused).toBeGreaterThan(0.8)
          expect(p99Ms).toBeLessThan(150)
        }
      }
    },
  )

  test('errors that come at once: the good calls are served as before', () => {
    const make = (loop: Parameters<typeof handlers.pool.make>[0]) => {
      const work = handlers.pool.make(loop)
      let count = 0
      return (...[request, done]: Parameters<typeof work>) => {
        if (++count % 10 < 3) done(false)
        else work(request, done)
      }
    }
    const handler = { capacity: 1_000, make }
    const calm = simulate({ handler, loads: [[0.9, 10]], shedder: adaptive() })
    expect(calm.phases[0]!.refused).toBe(0)
    const storm = simulate({
      handler,
      loads: [
        [0.5, 2],
        [5, 5],
      ],
      shedder: adaptive(),
    })
    expect(storm.phases[1]!.good / 5_000).toBeGreaterThan(0.95)
  })

  test.each(['cpu', 'mixed', 'pool', 'post'] as const)(
    '%s: a container that leaves half a processor, so that the loop stands still for 50 ms in every 100',
    name => {
      const handler = handlers[name]
      const pause = [50, 50] as const
      const calm = simulate({ handler, loads: [[0.3, 10]], shedder: adaptive(), pause })
      expect(figures(calm.phases[0]!, handler, 10).refused).toBeLessThanOrEqual(0.001)
      const pressed = simulate({
        handler,
        loads: [
          [0.25, 1],
          [2, 4],
        ],
        shedder: adaptive(),
        pause,
      })
      // Refusals are paid for out of the same half.
      const left = name === 'pool' ? 0.5 : 0.5 - 1.5 * (1 - possible(name, 2))
      expect(figures(pressed.phases[1]!, handler, 4).goodput).toBeGreaterThan(0.9 * left)
    },
  )

  test('a share of expensive calls that grows from one in ten to three in ten', () => {
    let count = 0
    const handler = { ...handlers.costMix, capacity: 500 }
    const report = simulate({
      handler,
      loads: [[4, 12]],
      shedder: adaptive(),
      traits: random => ({ route: random() < (++count > 12_000 ? 0.3 : 0.1) ? '/heavy' : '/light' }),
    })
    // A mean of 1.95 ms before, of 4.85 after.
    const after = report.seconds.slice(7, 12)
    const good = after.reduce((sum, second) => sum + second.good, 0) / after.length
    expect(good).toBeGreaterThan(0.9 * (1_000 / 4.87) * possible('cpu', 8))
    for (const { latencies } of after) expect(quantile(latencies, 0.99)).toBeLessThan(80)
  })
})

describe('the laws that see one side only', () => {
  function goodput(name: 'cpu' | 'pool', shedder: Shedder): number {
    const handler = handlers[name]
    const report = simulate({
      handler,
      loads: [
        [0.5, 1],
        [4, 3],
      ],
      shedder,
    })
    return figures(report.phases[1]!, handler, 3).goodput
  }

  test('limits of calls in flight are blind to synchronous handlers', () => {
    for (const shedder of [gradient(), vegas({ random: () => 0.5 }), bbr({ cpu: () => 1, loop: () => 1 })]) {
      expect(goodput('cpu', shedder)).toBeLessThan(0.15)
    }
  })

  test('and hold where calls wait for something else', () => {
    expect(goodput('pool', gradient())).toBeGreaterThan(0.95)
  })
})
