import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { circuit } from '../breaker/circuit.ts'
import { breaker } from '../breaker/middleware.ts'
import { collectAnswerFields, degradedParts } from '../core/answer-fields.ts'
import { chain } from '../core/chain.ts'
import { createContext, openContext } from '../core/context.ts'
import { sleep } from '../internal/timer.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import type { Copy, CopyStore } from './copy-store.ts'
import { fallback } from './fallback.ts'
import { fallbackError } from './fallback-error.ts'
import { memoryStore } from './memory-store.ts'

const maxStaleMs = 1_000
const callMs = 40
const sliceMs = 25
const storeMs = 10

const situation = fc.record({
  call: fc.constantFrom('works', 'fails', 'is to blame', 'hangs' as const),
  copy: fc.oneof(fc.constant(undefined), fc.nat(2 * maxStaleMs), fc.constant('nothing' as const)),
  store: fc.constantFrom('at once', 'soon', 'late', 'throws', 'rejects', 'never' as const),
  makes: fc.constantFrom('none', 'value', 'works', 'throws', 'rejects', 'hangs' as const),
  off: fc.boolean(),
})

describe('fallback', () => {
  it('answers with exactly one of fresh, stale, default and error, whatever works and whatever does not', async () => {
    await fc.assert(
      fc.asyncProperty(situation, async ({ call, copy, store, makes, off }) => {
        const clock = manualClock({ startMs: 0 })
        let reads = 0
        let writes = 0
        const held: Copy | undefined =
          copy === undefined
            ? undefined
            : copy === 'nothing'
              ? { kept: { error: { name: 'Error', message: 'nothing' } }, ageMs: 0, freshMs: 9 }
              : { kept: { value: 'stale' }, ageMs: copy, freshMs: 0 }
        const copies: CopyStore = {
          get() {
            reads++
            if (store === 'throws') throw new Error('store')
            if (store === 'rejects') return Promise.reject(new Error('store'))
            if (store === 'never') return new Promise(() => {})
            if (store === 'at once') return held
            return sleep(createContext({ clock }), store === 'soon' ? storeMs - 1 : storeMs + 1).then(
              () => held,
            )
          },
          set() {
            writes++
          },
          delete() {},
        }
        const error = Object.assign(new Error('the original'), call === 'is to blame' ? { status: 400 } : {})
        const make = {
          none: {},
          value: { default: 'default' },
          works: { default: async () => 'default' },
          throws: {
            default: () => {
              throw new Error('second')
            },
          },
          rejects: { default: () => Promise.reject(new Error('second')) },
          hangs: { default: () => new Promise<string>(() => {}) },
        }[makes]
        const guarded = fallback<unknown, string>({
          store: copies,
          key: () => 'key',
          maxStaleMs,
          timeoutMs: sliceMs,
          storeTimeoutMs: storeMs,
          off: () => off,
          name: 'part',
          ...make,
        })
        const protectedCall = chain(
          guarded,
          deadline({ totalMs: callMs }),
        )(async (): Promise<string> => {
          if (call === 'works') return 'fresh'
          if (call === 'hangs') return new Promise(() => {})
          throw error
        })
        const { context } = collectAnswerFields(createContext({ clock }))
        let answer: unknown
        let failure: unknown
        protectedCall('request', context).then(
          value => {
            answer = value
          },
          reason => {
            failure = reason
          },
        )
        // However it goes, it is over when the call, the store and the default have had their time.
        await clock.advance(callMs + storeMs + sliceMs)

        const readable = store === 'at once' || store === 'soon'
        const usable =
          readable && typeof copy === 'number' && copy + (store === 'soon' ? storeMs - 1 : 0) <= maxStaleMs
        const source = off
          ? undefined
          : call === 'works'
            ? 'fresh'
            : call === 'is to blame'
              ? 'error'
              : undefined
        const expected =
          source ?? (usable ? 'stale' : makes === 'value' || makes === 'works' ? 'default' : 'error')

        expect(answer).toBe(expected === 'error' ? undefined : expected)
        expect(reads).toBe(source === undefined ? 1 : 0)
        expect(writes).toBe(expected === 'fresh' ? 1 : 0)
        const { fresh, stale, default: made, failed } = guarded.snapshot()
        expect({ fresh, stale, default: made, error: failed }).toEqual({
          fresh: 0,
          stale: 0,
          default: 0,
          error: 0,
          [expected]: 1,
        })
        const told = degradedParts(context)
        expect(told.map(({ source }) => source)).toEqual(
          expected === 'stale' || expected === 'default' ? [expected] : [],
        )
        if (expected === 'stale') expect(told[0]!.ageMs).toBeLessThanOrEqual(maxStaleMs)
        if (expected === 'error') {
          if (!off && call === 'hangs') expect(failure).toMatchObject({ reason: 'deadline-exceeded' })
          else if (off) expect(failure).toMatchObject({ reason: 'shed', policy: 'part' })
          else expect(failure).toBe(error)
          if (source === undefined && makes !== 'none') expect(fallbackError(failure)).toBeDefined()
        }
        expect(clock.armed).toBe(0)
      }),
      { numRuns: 400 },
    )
  })

  it('makes no more defaults at a time than it may, each within its slice, and gives the rest their own error', async () => {
    const arrival = fc.record({
      afterMs: fc.nat(10),
      takesMs: fc.nat(40).map(ms => ms + 0.5),
      aborts: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { maxLength: 20, size: 'max' }),
        fc.integer({ min: 1, max: 4 }),
        async (arrivals, limit) => {
          const clock = manualClock({ startMs: 0 })
          const endless = createContext({ clock })
          let making = 0
          let most = 0
          const guarded = fallback<number, string>({
            limit,
            timeoutMs: sliceMs,
            default: async takesMs => {
              most = Math.max(most, ++making)
              // It does not listen: its place is free when it has come to an end, not when nobody waits for it.
              await sleep(endless, takesMs)
              making--
              return 'default'
            },
          })
          const seen: { expected: string; got: string | undefined }[] = []
          const busyUntil: number[] = []
          for (const { afterMs, takesMs, aborts } of arrivals) {
            await clock.advance(afterMs)
            const now = clock.now()
            const busy = busyUntil.filter(until => until > now).length
            if (busy < limit) busyUntil.push(now + takesMs)
            const original = new Error('the original')
            const { context, cancel, close } = openContext({ clock })
            const entry = { expected: 'original', got: undefined as string | undefined }
            if (busy < limit && takesMs < sliceMs) entry.expected = 'default'
            if (aborts) entry.expected = 'gone'
            seen.push(entry)
            const call = guarded(async () => {
              if (aborts) cancel('gone')
              throw original
            })
            call(takesMs, context).then(
              value => {
                entry.got = value
              },
              error => {
                entry.got = error === original ? (context.ended ? 'gone' : 'original') : 'another'
              },
            )
            if (aborts && busy < limit) busyUntil.pop()
            await clock.flush()
            expect(guarded.snapshot().active).toBe(making)
            close()
          }
          await clock.advance(100)
          expect(seen.map(({ got }) => got)).toEqual(seen.map(({ expected }) => expected))
          expect(most).toBeLessThanOrEqual(limit)
          expect(guarded.snapshot()).toMatchObject({ active: 0 })
          expect(clock.armed).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })

  it('is no success to the circuit below it, and renews each copy in at most one background call at a time', async () => {
    interface Ask {
      readonly id: number
      readonly key: string
      readonly takesMs: number
      readonly fails: boolean
    }
    const call = fc.record({
      afterMs: fc.nat(30),
      key: fc.constantFrom('a', 'b'),
      takesMs: fc.integer({ min: 1, max: 100 }).map(ms => ms + 0.5),
      fails: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 25, size: 'max' }),
        fc.constantFrom(0, 60),
        async (calls, refreshMs) => {
          const clock = manualClock({ startMs: 0 })
          const dependency = circuit({ clock, windowMs: 1e6 })
          dependency.disable()
          const asked = new Set<number>()
          const out = new Map<string, number>()
          let most = 0
          let answers = 0
          let failures = 0
          const guarded = fallback<Ask, string>({
            store: memoryStore(),
            key: ({ key }) => key,
            default: 'default',
            refreshMs,
            name: 'part',
          })
          const ask = chain<Ask, string>(
            guarded,
            deadline({ totalMs: callMs }),
            breaker(dependency),
          )(async ({ takesMs, fails, key, id }, context) => {
            // Who is asked for a second time is asked in the background.
            const behind = asked.has(id)
            asked.add(id)
            if (behind) most = Math.max(most, (out.get(key) ?? 0) + 1)
            if (behind) out.set(key, (out.get(key) ?? 0) + 1)
            try {
              await sleep(context, takesMs)
            } catch (error) {
              failures++
              throw error
            } finally {
              if (behind) out.set(key, out.get(key)! - 1)
            }
            if (fails) {
              failures++
              throw new Error('down')
            }
            answers++
            return 'fresh'
          })
          const seen: string[] = []
          for (const [id, next] of calls.entries()) {
            await clock.advance(next.afterMs)
            void ask({ ...next, id }, createContext({ clock })).then(answer => seen.push(answer))
          }
          await clock.advance(1_000)
          expect(seen).toHaveLength(calls.length)
          const { total, failures: failed } = dependency.snapshot()
          expect({ failed, succeeded: total - failed }).toEqual({ failed: failures, succeeded: answers })
          const { fresh, stale, default: made } = guarded.snapshot()
          expect(fresh + stale + made).toBe(calls.length)
          expect(seen.filter(answer => answer === 'default')).toHaveLength(made)
          expect(most).toBeLessThanOrEqual(refreshMs === 0 ? 0 : 1)
          expect(guarded.snapshot()).toMatchObject({ refreshing: 0 })
          expect(clock.armed).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })
})
