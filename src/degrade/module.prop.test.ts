import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Context, createContext } from '../core/context.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { assemble, type Modules } from './assemble.ts'
import { fallback } from './fallback.ts'

const reserveMs = 20
const fallbackMs = 30

/** Times end in different digits, so that no two things happen at the same moment. */
const module = fc.record({
  does: fc.constantFrom('answers', 'fails', 'hangs'),
  afterMs: fc.nat(12).map(n => n * 10 + 3),
  heeds: fc.boolean(),
  timeoutMs: fc.option(
    fc.nat(12).map(n => n * 10 + 7),
    { nil: undefined },
  ),
  fallback: fc.boolean(),
  required: fc.boolean(),
})

describe('a page', () => {
  it('is there in time with all that came in time, and names the rest', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(module, { maxLength: 6, size: 'max' }),
        fc.constantFrom(5, 45, 90, 140, undefined),
        async (specs, timeoutMs) => {
          const clock = manualClock({ startMs: 0 })
          const endless = createContext({ clock })
          // Without a deadline nothing ends what hangs.
          const modules = timeoutMs === undefined ? specs.filter(({ does }) => does !== 'hangs') : specs
          const made: {
            required: Record<string, Modules[string]>
            optional: Record<string, Modules[string]>
          } = {
            required: {},
            optional: {},
          }
          let calledWithin = true
          for (const [
            i,
            { does, afterMs, heeds, timeoutMs, fallback: hasFallback, required },
          ] of modules.entries()) {
            const handler = async (_: unknown, context: Context): Promise<string> => {
              if (context.ended) calledWithin = false
              if (does === 'hangs')
                return heeds ? sleep(context, 1e6).then(() => 'never') : new Promise(() => {})
              await sleep(heeds ? context : endless, afterMs)
              if (does === 'fails') throw new Error(`m${i} failed`)
              return `m${i}`
            }
            made[required ? 'required' : 'optional'][`m${i}`] = {
              handler,
              ...(timeoutMs === undefined ? {} : { timeoutMs }),
              ...(hasFallback ? { fallback: fallback({ default: `default of m${i}` }) } : {}),
            }
          }

          // What is to be expected, module by module.
          const pageMs = Math.max(0, (timeoutMs ?? Infinity) - reserveMs)
          const outcomes = modules.map((spec, i) => {
            const quota = Math.min(
              spec.timeoutMs ?? Infinity,
              pageMs - (spec.fallback ? Math.min(fallbackMs, pageMs / 2) : 0),
            )
            const called = quota >= 1
            const answersAt = !called ? 0 : spec.does === 'hangs' ? quota : Math.min(spec.afterMs, quota)
            const answers = called && spec.does === 'answers' && spec.afterMs < quota
            const stoodIn = !answers && spec.fallback && pageMs > 0
            return { name: `m${i}`, required: spec.required, answersAt, answers, stoodIn }
          })
          const fatal = outcomes.filter(outcome => outcome.required && !outcome.answers && !outcome.stoodIn)
          const failsAt = Math.min(...fatal.map(({ answersAt }) => answersAt))
          const endsAt =
            fatal.length > 0 ? failsAt : Math.max(0, ...outcomes.map(({ answersAt }) => answersAt))

          const page = assemble({ ...made, reserveMs, fallbackMs })
          let endedAt: number | undefined
          let answer: Awaited<ReturnType<typeof page>> | undefined
          page(undefined, createContext({ clock, timeoutMs })).then(
            value => {
              answer = value
              endedAt = clock.now()
            },
            () => {
              endedAt = clock.now()
            },
          )
          await clock.advance(200)

          expect(endedAt).toBe(endsAt)
          expect(endedAt).toBeLessThanOrEqual(pageMs)
          expect(calledWithin).toBe(true)
          if (fatal.length > 0) expect(answer).toBeUndefined()
          else {
            const names = (wanted: (outcome: (typeof outcomes)[number]) => boolean) =>
              outcomes
                .filter(wanted)
                .map(({ name }) => name)
                .sort()
            expect(Object.keys(answer!.data).sort()).toEqual(
              names(({ answers, stoodIn }) => answers || stoodIn),
            )
            expect([...answer!.missing].sort()).toEqual(names(({ answers, stoodIn }) => !answers && !stoodIn))
            expect(answer!.degraded.map(({ part }) => part).sort()).toEqual(names(({ stoodIn }) => stoodIn))
            for (const [name, value] of Object.entries(answer!.data)) {
              const { answers } = outcomes.find(outcome => outcome.name === name)!
              expect(value).toBe(answers ? name : `default of ${name}`)
            }
          }
          expect(clock.armed).toBe(0)
        },
      ),
      { numRuns: 200 },
    )
  })
})
