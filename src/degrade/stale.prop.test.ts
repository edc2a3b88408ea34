import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createContext } from '../core/context.ts'
import { type Deferred, defer } from '../internal/deferred.ts'
import { manualClock } from '../testing/manual-clock.ts'
import { stale } from './stale.ts'

const ages = { freshMs: 20, staleMs: 15, ifErrorMs: 60, absentMs: 10, refreshMs: 25, jitterRatio: 0 }
const oldest = ages.freshMs + Math.max(ages.staleMs, ages.ifErrorMs)

/** What the dependency is asked: which version it answers with tells when it was asked. */
interface Ask {
  readonly key: string
  readonly at: number
  /** The caller that waits for it, or `undefined` in the background. */
  readonly caller: number | undefined
  readonly held: Held | undefined
  open: boolean
}

interface Held {
  readonly at: number
  /** `null` for nothing, `undefined` for a key that was forgotten. */
  readonly value: string | null | undefined
}

const key = fc.constantFrom('a', 'b')
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('call' as const), key }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      which: fc.nat(9),
      how: fc.constantFrom('value', 'value', 'nothing', 'failure' as const),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(18) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), key }) },
)

describe('stale', () => {
  it('gives what the plainest model gives, whatever comes late, and never anything too old', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async steps => {
        const clock = manualClock({ startMs: 1_000 })
        const context = createContext({ clock })
        const works: Deferred<string | null>[] = []
        const cache = stale<string, string | null>({ ...ages, key: request => request, clock })
        const call = cache(() => {
          const work = defer<string | null>()
          works.push(work)
          return work.promise
        })

        const asks: Ask[] = []
        const store = new Map<string, Held>()
        const refreshing = new Map<string, number>()
        const expected: unknown[] = []
        const got: unknown[] = []
        let tooOld = false
        const put = (key: string, entry: Held): void => {
          const held = store.get(key)
          // Of a deletion and a question at one moment, nobody can tell which came first.
          const isGone = held !== undefined && held.value === undefined && entry.value !== undefined
          if (held === undefined || held.at < entry.at || (held.at === entry.at && !isGone))
            store.set(key, entry)
        }

        for (const next of steps) {
          const now = clock.now()
          if (next.do === 'wait') await clock.advance(next.ms)
          if (next.do === 'forget') {
            put(next.key, { at: now, value: undefined })
            await cache.forget(next.key)
          }
          if (next.do === 'call') {
            const caller = expected.length
            expected.push('waits')
            got.push('waits')
            call(next.key, context).then(
              value => {
                got[caller] = value
                if (typeof value !== 'string') return
                const at = Number(value.split('@')[1])
                // What the caller's own call brings may have taken as long as it liked; it is no copy.
                if (at !== now) tooOld ||= clock.now() - at > oldest
              },
              (error: Error) => {
                got[caller] = error.message
              },
            )
            const held = store.get(next.key)
            const age = held === undefined ? Infinity : now - held.at
            const fresh = held?.value === null ? ages.absentMs : ages.freshMs
            const value = typeof held?.value === 'string' ? held : undefined
            if (held?.value !== undefined && age < fresh) expected[caller] = held.value
            else if (value !== undefined && age < ages.freshMs + ages.staleMs) {
              expected[caller] = value.value
              const since = refreshing.get(next.key)
              if (since === undefined || now - since >= ages.refreshMs) {
                refreshing.set(next.key, now)
                asks.push({ key: next.key, at: now, caller: undefined, held: undefined, open: true })
              }
            } else {
              asks.push({ key: next.key, at: now, caller, held: value, open: true })
            }
          }
          if (next.do === 'answer') {
            const open = asks.filter(ask => ask.open)
            const ask = open[next.which % open.length]
            if (ask !== undefined) {
              ask.open = false
              const value = next.how === 'nothing' ? null : `${ask.key}@${ask.at}`
              if (next.how !== 'failure') put(ask.key, { at: ask.at, value })
              if (ask.caller === undefined) {
                if (refreshing.get(ask.key) === ask.at) refreshing.delete(ask.key)
              } else if (next.how !== 'failure') expected[ask.caller] = value
              else if (ask.held !== undefined && now - ask.held.at <= ages.freshMs + ages.ifErrorMs) {
                expected[ask.caller] = ask.held.value
              } else expected[ask.caller] = 'down'
              const work = works[asks.indexOf(ask)]!
              if (next.how === 'failure') work.reject(new Error('down'))
              else work.resolve(value)
            }
          }
          await clock.flush()
          expect(got).toEqual(expected)
          expect(works.length).toBe(asks.length)
          expect(tooOld).toBe(false)
        }
        for (const work of works) work.reject(new Error('over'))
        await clock.advance(ages.refreshMs)
        expect(cache.snapshot().refreshing).toBe(0)
        expect(clock.armed).toBe(0)
      }),
      { numRuns: 150 },
    )
  })

  it('keeps each copy fresh for a time within the jitter', () => {
    return fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        fc.constantFrom(0, 0.3, 1),
        async (random, jitterRatio) => {
          const clock = manualClock()
          let made = 0
          const call = stale({ key: () => 'a', freshMs: 100, jitterRatio, random: () => random })(
            async () => ++made,
          )
          const context = createContext({ clock })
          await call('a', context)
          const lasts = 100 * (1 - jitterRatio * random)
          await clock.advance(lasts - 0.001)
          await call('a', context)
          expect(made).toBe(1)
          await clock.advance(0.002)
          await call('a', context)
          expect(made).toBe(2)
        },
      ),
      { numRuns: 50 },
    )
  })
})
