/** Whatever comes of calls behind `shed`, on a clock that is moved by hand: what has begun is over once, and told once. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chain } from '../core/chain.ts'
import { openContext } from '../core/context.ts'
import type { Loop } from '../internal/event-loop.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { adaptive } from './adaptive.ts'
import { fixed } from './fixed.ts'
import { shed } from './shed.ts'
import type { Shedder } from './shedder.ts'

const ways = [
  'answers',
  'rejects',
  'throws',
  'answers late',
  'rejects late',
  'hears of its end',
  'is deaf',
] as const

interface Call {
  readonly way: (typeof ways)[number]
  readonly withinMs: number
  readonly bounded: boolean
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record<Call>({
      way: fc.constantFrom(...ways),
      withinMs: fc.constantFrom(Infinity, 0, 30),
      bounded: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constantFrom(1, 10, 60) },
  { weight: 1, arbitrary: fc.record({ cancel: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ mode: fc.constantFrom('enforce' as const, 'observe' as const, 'off' as const) }),
  },
)

const makers: readonly (readonly [string, () => Shedder])[] = [
  ['one that says at once', () => fixed({ limit: 2 })],
  [
    'one with a queue',
    () => {
      const shedder = adaptive({ minLimit: 1 })
      ;(shedder as unknown as { knee: { limit: number } }).knee.limit = 2
      return shedder
    },
  ],
]

const faults: unknown[] = []
const note = (error: unknown): void => {
  faults.push(error)
}
beforeAll(() => {
  process.on('unhandledRejection', note)
})
afterAll(() => {
  process.off('unhandledRejection', note)
})

test.each(makers)('%s', async (_name, make) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const clock = manualClock()
      const shedder = make()
      const loop: Loop = { clock, idleMs: () => clock.now(), soon: callback => void setImmediate(callback) }
      /** What ends the work of calls that take their time. */
      const ends = new Set<() => void>()
      let working = 0
      let begun = 0
      const handle = (way: Call['way'], { signal }: { readonly signal: AbortSignal }): Promise<string> => {
        begun++
        if (way === 'throws') throw new Error(way)
        if (way === 'answers') return Promise.resolve(way)
        if (way === 'rejects') return Promise.reject(new Error(way))
        working++
        return new Promise((resolve, reject) => {
          const end = (): void => {
            if (!ends.delete(end)) return
            working--
            if (way === 'rejects late') reject(new Error(way))
            else resolve(way)
          }
          ends.add(end)
          if (way === 'hears of its end') signal.addEventListener('abort', end)
        })
      }
      const gate = shed<Call['way']>(shedder, { loop })
      const plain = gate(handle)
      const bounded = chain(deadline({ totalMs: 20 }), gate)(handle)

      const cancels: (() => void)[] = []
      let told = 0
      let asked = 0
      let least = 0
      const { settle } = shedder
      shedder.settle = (call, result, now) => {
        settle.call(shedder, call, result, now)
        least = Math.min(least, shedder.snapshot().inFlight)
      }
      const count = (): void => {
        told++
      }
      for (const step of steps) {
        if (typeof step === 'number') {
          await clock.advance(step)
          // Those that take their time do not all take for ever.
          if (step === 10) for (const end of [...ends].slice(0, 2)) end()
        } else if ('cancel' in step) cancels[step.cancel % Math.max(1, cancels.length)]?.()
        else if ('mode' in step) shedder.update({ mode: step.mode })
        else {
          const { context, cancel, close } = openContext({
            clock,
            timeoutMs: step.withinMs === Infinity ? undefined : step.withinMs,
          })
          cancels.push(() => cancel(new Error('left')))
          asked++
          const answer = (step.bounded ? bounded : plain)(step.way, context)
          answer.then(count, count)
          answer.then(close, close)
        }
        await clock.flush()
        const { inFlight } = shedder.snapshot()
        expect(inFlight).toBeLessThanOrEqual(begun)
      }
      shedder.update({ mode: 'enforce' })
      // Those that wait for room begin as others end, or have waited for too long.
      for (let i = 0; i < 60 && told < asked; i++) {
        for (const end of ends) end()
        await clock.advance(10)
      }
      for (const end of ends) end()
      await clock.advance(10)
      expect(told).toBe(asked)
      expect(working).toBe(0)
      expect(least).toBe(0)
      const { inFlight, queued = 0 } = shedder.snapshot() as { inFlight: number; queued?: number }
      expect({ inFlight, queued }).toEqual({ inFlight: 0, queued: 0 })
      expect(clock.armed).toBe(0)
      expect(faults).toEqual([])
    }),
    { numRuns: 100 },
  )
})
