/** Every mechanism of the calling side says once what was changed, and nothing if it was refused. */

import { inspect, type Mechanism, settingsChanged } from 'spillway'
import { circuit, keyed, throttle } from 'spillway/breaker'
import { assemble, fallback, memoryStore, singleflight, stale, switches } from 'spillway/degrade'
import { redisStore, redisSwitches } from 'spillway/degrade/redis'
import { fault } from 'spillway/fault'
import { bulkhead, bySpeed, hotKeys, lanes, workers } from 'spillway/isolation'
import { retryBudget } from 'spillway/retry'
import { describe, expect, it } from 'vitest'

const key = () => 'key'
const client = { evalsha: async () => [], eval: async () => [] }
const module = new URL('data:text/javascript,export default () => 1')
const hot = { keys: hotKeys({ name: 'not asked' }), key, limit: 1 }

const mechanisms: readonly (readonly [make: () => Mechanism, good: object, bad: object])[] = [
  [() => circuit({ name: 'circuit' }), { minimum: 5, windowMs: 5_000 }, { minimum: 0 }],
  [() => throttle({ name: 'throttle' }), { k: 3, windowMs: 5_000 }, { k: 0 }],
  [() => keyed(() => circuit(), { name: 'keyed' }), { max: 5 }, { max: 0 }],
  [() => retryBudget({ name: 'share' }), { ratio: 0.2 }, { ratio: -1 }],
  [() => retryBudget({ name: 'tokens', maxTokens: 10 }), { maxTokens: 5 }, { maxTokens: 0 }],
  [() => bulkhead({ limit: 1 }), { limit: 2 }, { limit: -1 }],
  [
    () => lanes({ lanes: { a: { limit: 1 } }, classify: () => 'a', hot }),
    { lanes: { a: { limit: 2 } }, hot: { limit: 2 } },
    { hot: { limit: -1 } },
  ],
  [() => hotKeys(), { hotShare: 0.5 }, { hotShare: 2 }],
  [() => bySpeed({ key, slowMs: 10 }), { slowMs: 20 }, { slowMs: 0 }],
  [() => workers({ module }), { size: 2, queue: 3 }, { size: 0 }],
  [() => fallback({ default: 1 }), { limit: 3 }, { limit: -1 }],
  [() => stale({ key, freshMs: 1 }), { freshMs: 2 }, { freshMs: -1 }],
  [() => singleflight({ key }), { maxAgeMs: 5 }, { maxAgeMs: -1 }],
  [() => memoryStore(), { maxEntries: 5 }, { maxEntries: 0 }],
  [() => switches({ a: {} }), { a: { rampMs: 5 } }, { a: { rampMs: -1 } }],
  [() => assemble({ optional: { a: async () => 1 } }), { reserveMs: 5 }, { reserveMs: -1 }],
  [() => redisStore({ client }), { maxLength: 5 }, { maxLength: 0 }],
  [() => redisSwitches({ client, switches: switches({ a: {} }) }), { pollMs: 50 }, { pollMs: 0 }],
  [() => fault(), { enabled: true }, { enabled: 1 }],
]

describe.each(mechanisms.map(([make, good, bad]) => ({ made: make(), good, bad })))(
  'update of $made.name',
  ({ made, good, bad }) => {
    it('is announced once, with what was given', () => {
      const heard: unknown[] = []
      const stop = settingsChanged.on(change => heard.push(change))
      expect(() => made.update(bad)).toThrow('Expected')
      expect(heard).toEqual([])
      made.update(good)
      stop()
      expect(heard).toEqual([{ kind: made.kind, name: made.name, changed: good }])
    })

    it('is listed in inspect() and can be reset', () => {
      expect(inspect().map(({ kind, name }) => `${kind} ${name}`)).toContain(`${made.kind} ${made.name}`)
      made.reset()
      expect(() => made.update({ nonsense: 1 })).toThrow('has no option `nonsense`')
    })
  },
)
