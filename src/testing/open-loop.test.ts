import { describe, expect, test } from 'vitest'
import { seeded } from '../../test/support/overload.ts'
import { eventLoop } from './event-loop.ts'
import { quantile } from './load-report.ts'
import { openLoop } from './open-loop.ts'

const free = { readMs: 0, writeMs: 0, acceptMs: 0 }

test('requests set out at the asked rate, whatever becomes of them', () => {
  const report = openLoop(
    eventLoop(),
    {
      phases: [
        { ratePerSecond: 200, seconds: 10 },
        { ratePerSecond: 1_000, seconds: 5 },
      ],
      random: seeded(1),
    },
    request => request.respond('ok'),
  )
  expect(report.phases.map(({ sent }) => sent)).toEqual([
    expect.closeTo(2_000, -2.3),
    expect.closeTo(5_000, -2.6),
  ])
  expect(report.phases[0]!.good).toBe(report.phases[0]!.sent)
  expect(report.seconds).toHaveLength(15)
})

test('the waits of a synchronous handler are those of queueing theory (M/D/1)', () => {
  const load = 0.8
  const loop = eventLoop({ turnMs: 0 })
  const report = openLoop(
    loop,
    {
      phases: [{ ratePerSecond: load * 500, seconds: 400 }],
      connections: 10_000,
      random: seeded(2),
      ...free,
    },
    request => {
      loop.burn(2)
      request.respond('ok')
    },
  )
  const { latencies } = report.phases[0]!
  const mean = latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length
  expect(mean).toBeGreaterThan(0.9 * 6)
  expect(mean).toBeLessThan(1.1 * 6)
})

test('latency counts from when a request was meant to set out, not from when it was read', () => {
  const loop = eventLoop()
  loop.readable(loop.now(), () => loop.burn(500))
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 100, seconds: 1 }], random: seeded(3), ...free },
    request => request.respond('ok'),
  )
  expect(Math.max(...report.phases[0]!.latencies)).toBeGreaterThan(400)
})

test('a client gives up, the server learns of it, and nothing that it answers then counts', () => {
  const loop = eventLoop()
  const seen: boolean[] = []
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 50, seconds: 1 }], timeoutMs: 100, random: seeded(4) },
    request => {
      loop.setTimeout(() => {
        seen.push(request.gone)
        request.respond('ok')
      }, 150)
    },
  )
  expect(new Set(seen)).toEqual(new Set([true]))
  expect(report.phases[0]).toMatchObject({ answered: 0, good: 0, failed: report.phases[0]!.sent })
})

test('answers that come late are answers, but no good ones', () => {
  const loop = eventLoop()
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 50, seconds: 1 }], goodMs: 100, random: seeded(5) },
    request => loop.setTimeout(() => request.respond('ok'), 150),
  )
  const [tally] = report.phases
  expect(tally).toMatchObject({ answered: tally!.sent, good: 0 })
})

test('a refused client tries again, and each request counts once', () => {
  const loop = eventLoop()
  const attempts: number[] = []
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 100, seconds: 1 }], retries: 2, backoffMs: () => 10, random: seeded(6) },
    request => {
      attempts.push(request.attempt)
      request.respond(request.attempt < 3 ? 'refused' : 'ok')
    },
  )
  const [tally] = report.phases
  expect(attempts).toHaveLength(3 * tally!.sent)
  expect(tally).toMatchObject({ good: tally!.sent, refused: 2 * tally!.sent })
  expect(tally!.refusalLatencies).toHaveLength(2 * tally!.sent)
})

test('who finds no connection free fails', () => {
  const loop = eventLoop()
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 100, seconds: 1 }], connections: 2, random: seeded(7) },
    request => loop.setTimeout(() => request.respond('ok'), 900),
  )
  expect(report.phases[0]!.answered).toBeLessThan(6)
  expect(report.phases[0]!.failed).toBeGreaterThan(80)
})

test('fresh connections wait in the backlog while a handler has the loop', () => {
  const loop = eventLoop()
  const report = openLoop(
    loop,
    { phases: [{ ratePerSecond: 1_000, seconds: 2 }], connections: 'fresh', random: seeded(8) },
    request => {
      loop.burn(2)
      request.respond('ok')
    },
  )
  expect(quantile(report.phases[0]!.latencies, 0.5)).toBeGreaterThan(300)
})

describe('what is counted', () => {
  test('by what sets requests apart', () => {
    const report = openLoop(
      eventLoop(),
      {
        phases: [{ ratePerSecond: 1_000, seconds: 2 }],
        traits: random => ({ tenant: random() < 0.25 ? 'a' : 'b' }),
        random: seeded(9),
      },
      request => request.respond(request.tenant === 'a' ? 'ok' : 'failed'),
    )
    const by = report.by(0, traits => traits.tenant!)
    expect(by.get('a')!.sent).toBeGreaterThan(400)
    expect(by.get('a')!.good).toBe(by.get('a')!.sent)
    expect(by.get('b')).toMatchObject({ good: 0, failed: by.get('b')!.sent })
  })

  test('the same seed gives the same run', () => {
    const run = () => {
      const loop = eventLoop()
      return openLoop(loop, { phases: [{ ratePerSecond: 600, seconds: 3 }], random: seeded(10) }, request => {
        loop.burn(2)
        request.respond('ok')
      }).phases
    }
    expect(run()).toEqual(run())
  })
})

test('quantiles', () => {
  expect(quantile([], 0.5)).toBe(0)
  expect(quantile([3, 1, 2, 4], 0.5)).toBe(2)
  expect(quantile([3, 1, 2, 4], 0.99)).toBe(4)
})
