import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { memoryStore } from './memory-store.ts'

interface Held {
  readonly key: string
  readonly value: number | undefined
  readonly askedAt: number
  readonly keepMs: number
}

const key = fc.constantFrom('a', 'b', 'c', 'd')
const step = fc.oneof(
  fc.record({ do: fc.constant('set' as const), key, tookMs: fc.nat(30), keepMs: fc.nat(60) }),
  fc.record({ do: fc.constant('get' as const), key }),
  fc.record({ do: fc.constant('delete' as const), key }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(20) }),
)

describe('memoryStore', () => {
  it('does what a list that is searched does', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 4 }),
        (steps, maxEntries) => {
          const store = memoryStore({ maxEntries })
          // The one used last comes last.
          let model: Held[] = []
          let now = 1_000
          let version = 0
          const put = (entry: Held): void => {
            const held = model.find(other => other.key === entry.key)
            if (held !== undefined && held.askedAt > entry.askedAt) return
            // Of a deletion and a question at one moment, nobody can tell which came first.
            const isGone = held !== undefined && held.value === undefined && entry.value !== undefined
            if (isGone && held.askedAt === entry.askedAt) return
            model = [...model.filter(other => other !== held), entry].slice(-maxEntries)
          }
          for (const next of steps) {
            if (next.do === 'wait') now += next.ms
            if (next.do === 'set') {
              const { key, tookMs, keepMs } = next
              version++
              store.set(key, { value: version }, { tookMs, freshMs: 1, keepMs }, now)
              put({ key, value: version, askedAt: now - tookMs, keepMs })
            }
            if (next.do === 'delete') {
              store.delete(next.key, now)
              put({ key: next.key, value: undefined, askedAt: now, keepMs: 0 })
            }
            if (next.do === 'get') {
              const held = model.find(({ key }) => key === next.key)
              const alive = held?.value !== undefined && now <= held.askedAt + held.keepMs
              if (alive) model = [...model.filter(other => other !== held), held]
              const copy = store.get(next.key, now)
              expect(copy?.kept).toEqual(alive ? { value: held.value } : undefined)
              if (alive) expect(copy!.ageMs).toBe(now - held.askedAt)
            }
            expect(store.snapshot().entries).toBe(model.length)
            expect(model.length).toBeLessThanOrEqual(maxEntries)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})
