/** What classes and tenants keep of an overload, in virtual time. */
import { describe, expect, test } from 'vitest'
import {
  figures,
  type HandlerName,
  handlerNames,
  handlers,
  loopMs,
  simulate,
} from '../../test/support/overload.ts'
import { adaptive } from './adaptive.ts'

const FLOOR = 0.05

const critically = (name: HandlerName, share: number) => (random: () => number) => ({
  ...handlers[name].traits?.(random),
  criticality: random() < share ? ('critical' as const) : ('sheddable' as const),
})

/** The part of the critical calls that can be served once the others have been refused, but for their floor. */
function possible(name: HandlerName, load: number, critical: number, ioMs: number, times: number): number {
  if (name === 'pool') return 1
  const workMs = loopMs[name] - 0.02
  const servedMs = workMs + times * ioMs
  const refusedMs = times * ioMs
  const left = (1 - FLOOR) * (workMs + ioMs) - (load - FLOOR) * refusedMs
  return Math.min(1, left / (critical * (servedMs - refusedMs)))
}

function costMs(name: HandlerName, route: string | undefined): number {
  if (name !== 'costMix') return loopMs[name]
  return route === '/heavy' ? 15 : 0.5
}

describe('classes', () => {
  test.each(handlerNames)(
    '%s: critical calls for 0.8 of the capacity are served at eight times, and the others get their floor',
    name => {
      const handler = handlers[name]
      const report = simulate({
        handler,
        loads: [
          [0.5, 1],
          [8, 3],
        ],
        shedder: adaptive(),
        traits: critically(name, 0.1),
      })
      const by = report.by(1, traits => traits.criticality!)
      const critical = by.get('critical')!
      expect(critical.good / critical.sent).toBeGreaterThanOrEqual(0.99)
      expect(by.get('sheddable')!.good / (3 * handler.capacity)).toBeGreaterThan(0.02)
    },
  )

  test.each(handlerNames)('%s: the one call in five that is critical is served at four times', name => {
    const report = simulate({
      handler: handlers[name],
      loads: [
        [0.5, 1],
        [4, 4],
      ],
      shedder: adaptive(),
      traits: critically(name, 0.2),
    })
    const critical = report.by(1, traits => traits.criticality!).get('critical')!
    expect(critical.good / critical.sent).toBeGreaterThanOrEqual(0.99)
  })

  test.each(handlerNames)(
    '%s: on a machine that is slower by turns critical calls are refused for want of time only, and not for others',
    name => {
      const ioMs = 0.04
      const times = 1.7
      const handler = {
        ...handlers[name],
        capacity: name === 'pool' ? 1_000 : 1_000 / (loopMs[name] - 0.02 + ioMs),
      }
      const began: { at: number; ms: number; low: boolean }[] = []
      const shares: number[] = []
      const report = simulate({
        handler,
        loads: [
          [0.5, 0.5],
          [8, 0.5],
          [8, 4],
        ],
        shedder: adaptive(),
        traits: critically(name, 0.1),
        connections: 1_024,
        readMs: 0.6 * ioMs,
        writeMs: 0.4 * ioMs,
        spells: { times, everyMs: 600 },
        watch: (call, what, now) => {
          if (what === 'begins')
            began.push({ at: now, ms: costMs(name, call.route), low: call.importance === 3 })
          else if (call.importance === 1) {
            while (began[0]!.at < now - 100) began.shift()
            const work = (calls: typeof began): number => calls.reduce((sum, { ms }) => sum + ms, 0)
            shares.push(work(began.filter(({ low }) => low)) / work(began))
          }
        },
      })
      const { good, sent } = report.by(2, traits => traits.criticality!).get('critical')!
      const parts = [1, times].map(slower => possible(name, 8, 0.8, ioMs, slower))
      expect(good / sent).toBeGreaterThanOrEqual(0.96 * ((parts[0]! + parts[1]!) / 2))
      // Of what began in the tenth of a second before a critical call was refused.
      expect(shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length)).toBeLessThan(
        FLOOR + 0.01,
      )
      if (name !== 'costMix') expect(Math.max(0, ...shares)).toBeLessThan(0.2)
    },
  )

  test.each(handlerNames)(
    '%s: once there have been too many critical calls, those that are not too many are served again',
    name => {
      const handler = handlers[name]
      let count = 0
      const many = 0.5 * 0.5 * handler.capacity + 8 * 0.7 * handler.capacity
      const report = simulate({
        handler,
        loads: [
          [0.5, 0.5],
          [8, 0.7],
          [8, 0.3],
          [8, 3],
        ],
        shedder: adaptive(),
        traits: random => critically(name, ++count < many ? 0.25 : 0.07)(random),
      })
      const { good, sent } = report.by(3, traits => traits.criticality!).get('critical')!
      expect(good / sent).toBeGreaterThanOrEqual(0.995)
    },
  )

  test.each(['cpu', 'mixed', 'pool', 'post'] as const)(
    '%s: even where critical calls alone are far too many, each class is served its floor',
    name => {
      const handler = handlers[name]
      const report = simulate({
        handler,
        loads: [
          [0.5, 1],
          [5, 5],
        ],
        shedder: adaptive(),
        traits: random => {
          const x = random()
          return { criticality: x < 0.8 ? 'critical' : x < 0.9 ? 'sheddable-plus' : 'sheddable' }
        },
      })
      const by = report.by(1, traits => traits.criticality!)
      for (const lesser of ['sheddable-plus', 'sheddable']) {
        expect(by.get(lesser)!.good / (5 * handler.capacity)).toBeGreaterThan(0.03)
      }
      expect(by.get('critical')!.good / (5 * handler.capacity)).toBeGreaterThan(0.7)
    },
  )
})

describe('tenants', () => {
  test.each(handlerNames)(
    '%s: of ten tenants one asks for twenty times its share; each other keeps 95 percent of its own',
    name => {
      const handler = handlers[name]
      const load = 0.9 + 2
      const seconds = 15
      const report = simulate({
        handler,
        loads: [
          [0.5, 2],
          [load, seconds],
        ],
        shedder: adaptive(),
        traits: random => {
          const x = random() * load
          const tenant = x < 2 ? 'flood' : `tenant ${Math.floor((x - 2) / 0.1)}`
          return { ...handler.traits?.(random), tenant }
        },
      })
      const share = (handler.capacity * seconds) / 10
      const by = report.by(1, traits => traits.tenant!)
      expect(by.size).toBe(10)
      for (const [tenant, { good, sent }] of by) {
        if (tenant !== 'flood') expect(good / Math.min(share, sent)).toBeGreaterThanOrEqual(0.95)
      }
    },
  )

  test.each(handlerNames)('%s: thirty that all ask for too much wait no longer than one would', name => {
    for (const load of [2, 4]) {
      const handler = handlers[name]
      const report = simulate({
        handler,
        loads: [
          [0.5, 1],
          [load, 1],
          [load, 3],
        ],
        shedder: adaptive(),
        traits: random => ({ ...handler.traits?.(random), tenant: `tenant ${Math.floor(30 * random())}` }),
      })
      const { goodput, p99Ms } = figures(report.phases[2]!, handler, 3)
      expect(goodput).toBeGreaterThan(0.93)
      // A pool takes 20 ms by itself; where calls differ so much in cost, some wait for the dear ones.
      expect(p99Ms).toBeLessThanOrEqual(name === 'costMix' ? 180 : name === 'pool' ? 70 : 60)
    }
  })
})
