/**
 * The simulator beside real servers: what the overload bench has measured is simulated with the service times of that
 * run. The tolerance stands in docs/shedding.md.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { adaptive } from '../src/shedding/adaptive.ts'
import { figures, type Handler, simulate } from './support/overload.ts'

const GOODPUT_TOLERANCE = 0.08
const P99_TOLERANCE_MS = 20

interface Run {
  readonly refusals: { readonly bareMs: number }
  readonly handlers: Readonly<
    Record<
      'cpu' | 'mixed',
      {
        readonly capacity: { readonly perSecond: number }
        readonly curves: readonly {
          readonly subject: string
          readonly points: readonly {
            readonly load: number
            readonly goodput: number
            readonly p99Ms: number
          }[]
        }[]
      }
    >
  >
}

const run: Run = JSON.parse(readFileSync(new URL('../bench/results/overload.json', import.meta.url), 'utf8'))
const { bareMs } = run.refusals

/** What a request costs the loop besides being read and answered, given how many a second can be served. */
function handlerFor(name: 'cpu' | 'mixed'): Handler {
  const { perSecond } = run.handlers[name].capacity
  const ms = 1_000 / perSecond - bareMs
  return {
    capacity: perSecond,
    make: loop => (_request, done) => {
      loop.burn(name === 'cpu' ? ms : ms / 2)
      if (name === 'cpu') done()
      else {
        loop.setTimeout(() => {
          loop.burn(ms / 2)
          done()
        }, 5)
      }
    },
  }
}

describe.each(['cpu', 'mixed'] as const)('%s', name => {
  test.each([2, 4])('at %d times the capacity the simulator and the servers agree', load => {
    const measured = run.handlers[name].curves
      .find(({ subject }) => subject === 'spillway')!
      .points.find(point => point.load === load)!
    const handler = handlerFor(name)
    const report = simulate({
      handler,
      loads: [
        [0.5, 1],
        [load, 0.8],
        [load, 3],
      ],
      shedder: adaptive(),
      connections: 1_024,
      readMs: 0.6 * bareMs,
      writeMs: 0.4 * bareMs,
    })
    const { goodput, p99Ms } = figures(report.phases[2]!, handler, 3)
    expect(Math.abs(goodput - measured.goodput)).toBeLessThanOrEqual(GOODPUT_TOLERANCE)
    expect(Math.abs(p99Ms - measured.p99Ms)).toBeLessThanOrEqual(P99_TOLERANCE_MS)
  })
})
