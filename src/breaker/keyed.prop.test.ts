import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keyed } from './keyed.ts'

interface Fake {
  readonly kind: 'fake'
  readonly name: string
  heldUntil: number
  update(): void
  reset(): void
  snapshot(): object
  holding(now: number): boolean
}

function fake(name: string): Fake {
  return {
    kind: 'fake',
    name,
    heldUntil: 0,
    update() {},
    reset() {},
    snapshot: () => ({}),
    holding(now) {
      return now < this.heldUntil
    },
  }
}

const step = fc.record({
  key: fc.nat({ max: 12 }).map(String),
  wait: fc.oneof(fc.constant(0), fc.nat({ max: 50 }), fc.constant(1_000)),
  hold: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 500 }) }),
})
const steps = fc.array(step, { maxLength: 150, size: 'max' })

test('never more than the bound, and whoever keeps calls away keeps its place', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 9 }), fc.constantFrom(100, 10_000), (steps, max, idleMs) => {
      const registry = keyed(fake, { max, idleMs })
      const holding = new Map<string, Fake>()
      let now = 0
      for (const { key, wait, hold } of steps) {
        now += wait
        const got = registry.get(key, now)
        if (got !== registry.others && hold > 0) {
          got.heldUntil = now + hold
          holding.set(key, got)
        }
        expect(registry.size).toBeLessThanOrEqual(max)
        for (const [held, mechanism] of holding) {
          if (now < mechanism.heldUntil) expect(registry.peek(held)).toBe(mechanism)
          else holding.delete(held)
        }
      }
    }),
  )
})

test('where nothing holds it forgets what a list in order of use forgets', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 9 }), (steps, max) => {
      const registry = keyed(fake, { max, idleMs: Infinity })
      let order: string[] = []
      let now = 0
      for (const { key, wait } of steps) {
        now += wait
        registry.get(key, now)
        order = [key, ...order.filter(other => other !== key)].slice(0, max)
        expect(Object.keys(registry.snapshot().keys).toSorted()).toEqual(order.toSorted())
      }
    }),
  )
})
