import fc from 'fast-check'
import { expect, test } from 'vitest'
import { manualClock } from '../testing/manual-clock.ts'
import { deadline } from '../timeout/deadline.ts'
import { chain, layer } from './chain.ts'
import { type Context, type ContextValues, createContext, openContext, rootContext } from './context.ts'
import { createContextKey } from './context-key.ts'
import { criticalities } from './criticality.ts'

const ms = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: 0, max: 1_000, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, Infinity, Number.MAX_VALUE, Number.MIN_VALUE) },
)

const values: fc.Arbitrary<ContextValues> = fc.record(
  {
    criticality: fc.constantFrom(...criticalities),
    tenant: fc.option(fc.string(), { nil: undefined }),
    caller: fc.option(fc.string(), { nil: undefined }),
    attempt: fc.nat(),
    idempotent: fc.boolean(),
  },
  { requiredKeys: [] },
)

test('whatever is derived ends no later than what it came from, and inherits its end', () => {
  const step = fc.record({
    timeoutMs: ms,
    passMs: fc.integer({ min: 0, max: 50 }),
    opened: fc.boolean(),
    values,
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), steps => {
      const clock = manualClock()
      let context = createContext({ clock })
      const line: Context[] = [context]
      for (const { timeoutMs, passMs, opened, values } of steps) {
        clock.jump(passMs)
        const options = { parent: context, timeoutMs, ...values }
        context = opened ? openContext(options).context : createContext(options)
        line.push(context)
      }
      for (const [i, inner] of line.entries()) {
        const outer = line[i - 1]
        if (outer === undefined) continue
        expect(inner.deadline).toBeLessThanOrEqual(outer.deadline)
        expect(inner.remainingMs).toBeLessThanOrEqual(outer.remainingMs)
        expect(inner.remainingMs).toBeGreaterThanOrEqual(0)
        if (outer.ended) expect(inner.ended).toBe(true)
      }
    }),
  )
})

test('no chain of deadlines gives anything more time than what stands outside it', async () => {
  const limits = fc.array(
    fc.record({
      totalMs: fc.double({ min: 0.1, max: 200, noNaN: true }),
      reserveMs: fc.double({ min: 0, max: 20, noNaN: true }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  await fc.assert(
    fc.asyncProperty(limits, fc.option(ms, { nil: undefined }), async (limits, timeoutMs) => {
      const clock = manualClock()
      const outer = createContext({ clock, timeoutMs })
      const seen: number[] = [outer.deadline]
      const watching = layer({ kind: 'other', name: 'watching' }, next => (request, context) => {
        seen.push(context.deadline)
        return next(request, context)
      })
      const call = chain(...limits.flatMap(limit => [deadline({ minUsefulMs: 0, ...limit }), watching]))
      await call(async () => {})(undefined, outer).catch(() => {})
      for (const [i, deadline] of seen.entries()) {
        if (i === 0) continue
        const { totalMs, reserveMs } = limits[i - 1]!
        expect(deadline).toBeLessThanOrEqual(seen[i - 1]!)
        expect(deadline).toBe(Math.min(seen[i - 1]! - reserveMs, clock.now() + totalMs, seen[i - 1]!))
      }
      expect(clock.armed).toBe(0)
    }),
  )
})

test('a context holds what a plain object with the same values would, and keeps it', () => {
  const keys = Array.from({ length: 3 }, (_, i) => createContextKey<number>(`key ${i}`, -i))
  const step = fc.oneof(
    fc.record({ values }),
    fc.record({ key: fc.nat({ max: keys.length - 1 }), value: fc.integer() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 15 }), steps => {
      const defaults = {
        criticality: 'critical',
        tenant: undefined,
        caller: undefined,
        attempt: 1,
        idempotent: false,
      }
      let expected: Record<string, unknown> = { ...defaults, 0: 0, 1: -1, 2: -2 }
      let context = rootContext
      const read = (context: Context): Record<string, unknown> => {
        const { criticality, tenant, caller, attempt, idempotent } = context
        const [a, b, c] = keys.map(key => context.get(key))
        return { criticality, tenant, caller, attempt, idempotent, 0: a === 0 ? 0 : a, 1: b, 2: c }
      }
      const history: [Context, Record<string, unknown>][] = []
      for (const step of steps) {
        if ('values' in step) {
          context = context.with(step.values)
          expected = { ...expected, ...step.values }
        } else {
          context = context.with(keys[step.key]!, step.value)
          expected = { ...expected, [step.key]: step.value }
        }
        history.push([context, expected])
      }
      for (const [context, expected] of history) expect(read(context)).toEqual(expected)
    }),
  )
})
