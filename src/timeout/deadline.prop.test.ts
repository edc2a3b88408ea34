import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chain, gate } from '../core/chain.ts'
import { createContext } from '../core/context.ts'
import { isRejection } from '../core/rejection.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { attemptDeadline, deadline } from './deadline.ts'

const level = fc.record({
  kind: fc.constantFrom('total' as const, 'attempt' as const),
  ms: fc.integer({ min: 1, max: 120 }),
  reserveMs: fc.nat({ max: 20 }),
  minUsefulMs: fc.nat({ max: 10 }),
})

const spec = fc.record({
  levels: fc.array(level, { maxLength: 6 }),
  timeoutMs: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 150 })),
  passedMs: fc.nat({ max: 60 }),
  // Between two milliseconds, so that nothing happens at one moment.
  worksMs: fc.nat({ max: 150 }).map(ms => ms + 0.5),
  heeds: fc.boolean(),
  reads: fc.boolean(),
})

type Spec = typeof spec extends fc.Arbitrary<infer T> ? T : never

interface Seen {
  readonly calls: number
  readonly endedAt: number
  /** Who ended it; `undefined` for the work itself. */
  readonly by: string | undefined
}

/** What ought to happen, level by level. */
function expected({ levels, timeoutMs, passedMs: now, worksMs }: Spec): Seen {
  let end = timeoutMs
  let by = 'context'
  if (now >= end) return { calls: 0, endedAt: now, by }
  for (const [i, { ms, reserveMs, minUsefulMs }] of levels.entries()) {
    const own = Math.min(end - reserveMs, now + ms)
    if (own - now < minUsefulMs || own <= now) return { calls: 0, endedAt: now, by: `level ${i}` }
    if (own < end) by = `level ${i}`
    end = Math.min(end, own)
  }
  if (now + worksMs < end) return { calls: 1, endedAt: now + worksMs, by: undefined }
  return { calls: 1, endedAt: end, by }
}

test('nested deadlines shrink, end where the earliest does, call nothing too late and leave nothing behind', async () => {
  const { AbortController } = globalThis
  let controllers = 0
  globalThis.AbortController = class extends AbortController {
    constructor() {
      super()
      controllers++
    }
  }
  try {
    await fc.assert(
      fc.asyncProperty(spec, async spec => {
        const { levels, timeoutMs, passedMs, worksMs, heeds, reads } = spec
        const clock = manualClock({ startMs: 0 })
        const endless = createContext({ clock })
        const context = createContext(timeoutMs === Infinity ? { clock } : { clock, timeoutMs })
        clock.jump(passedMs)
        controllers = 0

        const deadlines = [context.deadline]
        const look = gate({
          kind: 'other',
          name: 'look',
          admit: (_request, { deadline }) => void deadlines.push(deadline),
        })
        let calls = 0
        let signal: AbortSignal | undefined
        const call = chain(
          ...levels.flatMap(({ kind, ms, ...options }, i) => {
            const named = { ...options, name: `level ${i}` }
            const limit =
              kind === 'total'
                ? deadline({ totalMs: ms, ...named })
                : attemptDeadline({ attemptMs: ms, ...named })
            return [limit, look]
          }),
        )(async (_request, own) => {
          calls++
          if (reads) signal = own.signal
          await sleep(heeds ? own : endless, worksMs)
        })

        let seen: Seen | undefined
        let armed = -1
        const note = (error?: unknown): void => {
          const by = isRejection(error, 'deadline-exceeded') ? error.policy : undefined
          seen = { calls, endedAt: clock.now(), by }
          armed = clock.armed
        }
        call('request', context).then(() => note(), note)
        await clock.flush()
        await clock.advance(400)

        const model = expected(spec)
        expect(seen).toEqual(model)
        for (const [i, end] of deadlines.entries()) {
          if (i > 0) expect(end).toBeLessThanOrEqual(deadlines[i - 1]!)
        }
        // A handler that does not listen goes on with its own business, and with nothing of the kit's.
        expect(armed).toBe(calls === 1 && model.by !== undefined && !heeds ? 1 : 0)
        expect(clock.armed).toBe(0)
        expect(controllers).toBe(reads ? calls : 0)
        if (signal !== undefined) expect(signal.aborted).toBe(model.by !== undefined)
      }),
      { numRuns: 400 },
    )
  } finally {
    globalThis.AbortController = AbortController
  }
})
