import { expect, test } from 'vitest'
import { inspect } from '../core/mechanism.ts'
import { manualClock } from '../testing/index.ts'
import type { Pass } from './breaker.ts'
import { type Circuit, circuit } from './circuit.ts'
import { type Keyed, keyed } from './keyed.ts'

function made(options: { max?: number; idleMs?: number } = {}) {
  const clock = manualClock()
  const registry: Keyed<Circuit> = keyed(
    () => circuit({ consecutiveFailures: 1, jitterRatio: 0, clock }),
    options,
  )
  const open = (key: string): void => {
    ;(registry.get(key, clock.now()).admit(clock.now()) as Pass).settle('failure', clock.now())
  }
  return { clock, registry, open }
}

test('one mechanism for each key, the same one every time', () => {
  const { clock, registry } = made()
  const a = registry.get('a', clock.now())
  expect(registry.get('b', clock.now())).not.toBe(a)
  expect(registry.get('a', clock.now())).toBe(a)
  expect(registry.peek('a')).toBe(a)
  expect(registry.peek('c')).toBeUndefined()
  expect(registry.size).toBe(2)
})

test('the key that has gone unused the longest makes room', () => {
  const { clock, registry } = made({ max: 2 })
  const a = registry.get('a', clock.now())
  const b = registry.get('b', clock.now())
  registry.get('a', clock.now())
  registry.get('c', clock.now())
  expect(registry.peek('a')).toBe(a)
  expect(registry.peek('b')).toBeUndefined()
  expect(registry.get('b', clock.now())).not.toBe(b)
})

test('a stream of new keys does not reset a circuit that is open', () => {
  const { clock, registry, open } = made({ max: 3 })
  open('dead')
  for (let i = 0; i < 1_000; i++) registry.get(`new ${i}`, clock.now())
  expect(registry.peek('dead')?.state).toBe('open')
  expect(registry.size).toBe(3)
  // Once it would be tried again anyway, it may go.
  clock.jump(5_000)
  for (let i = 0; i < 10; i++) registry.get(`newer ${i}`, clock.now())
  expect(registry.peek('dead')).toBeUndefined()
})

test('a key that somebody has set by hand is not forgotten, and the setting with it', () => {
  for (const control of ['forceOpen', 'forceClosed', 'disable'] as const) {
    const clock = manualClock()
    const endpoints = keyed(() => circuit({ clock }), { max: 3, idleMs: 1_000 })
    endpoints.get('held', clock.now())[control]()
    const { state } = endpoints.get('held', clock.now())
    for (let i = 0; i < 20; i++) {
      clock.jump(2_000)
      endpoints.get(`other ${i}`, clock.now())
    }
    expect(endpoints.get('held', clock.now()).state).toBe(state)
    expect(endpoints.size).toBeLessThanOrEqual(3)
    // As soon as it is let go of, it is a key like any other.
    endpoints.get('held', clock.now()).reset()
    for (let i = 0; i < 20; i++) endpoints.get(`yet another ${i}`, clock.now())
    expect(endpoints.peek('held')).toBeUndefined()
  }
})

test('where every key keeps calls away, new keys share one mechanism and the bound holds', () => {
  const { clock, registry, open } = made({ max: 2 })
  open('x')
  open('y')
  expect(registry.get('z', clock.now())).toBe(registry.others)
  expect(registry.get('w', clock.now())).toBe(registry.others)
  expect(registry.size).toBe(2)
  expect(registry.snapshot()).toMatchObject({ size: 2, max: 2, crowded: 2, evicted: 0 })
})

test('keys that nobody asks for are forgotten', () => {
  const { clock, registry } = made({ idleMs: 1_000 })
  for (let i = 0; i < 5; i++) registry.get(`old ${i}`, clock.now())
  clock.jump(1_001)
  for (let i = 0; i < 3; i++) registry.get(`new ${i}`, clock.now())
  expect(registry.size).toBe(3)
})

test('a key can be forgotten by hand, and all of them', () => {
  const { clock, registry } = made()
  registry.get('a', clock.now())
  registry.get('b', clock.now())
  expect(registry.delete('a')).toBe(true)
  expect(registry.delete('a')).toBe(false)
  expect(registry.size).toBe(1)
  registry.reset()
  expect(registry.size).toBe(0)
  expect(registry.get('a', clock.now())).toBeDefined()
})

test('a smaller bound takes effect as new keys come', () => {
  const { clock, registry } = made({ max: 10 })
  for (let i = 0; i < 10; i++) registry.get(`${i}`, clock.now())
  registry.update({ max: 4 })
  registry.get('new', clock.now())
  expect(registry.size).toBe(4)
  expect(() => registry.update({ max: 0 })).toThrow('Expected `max` to be a whole number from 1 up, got 0')
})

test('the snapshot shows the latest keys, a hundred at most', () => {
  const { clock, registry } = made({ max: 500 })
  for (let i = 0; i < 300; i++) registry.get(`k${i}`, clock.now())
  const { keys } = registry.snapshot()
  expect(Object.keys(keys)).toHaveLength(100)
  expect(Object.keys(keys)[0]).toBe('k299')
  expect(keys.k299).toMatchObject({ state: 'closed' })
})

test('a key may have any name', () => {
  const { clock, registry } = made()
  for (const key of ['__proto__', 'constructor', '']) registry.get(key, clock.now())
  const { keys } = registry.snapshot()
  expect(Object.keys(keys)).toEqual(['', 'constructor', '__proto__'])
  expect(Object.getPrototypeOf(keys)).toBe(Object.prototype)
})

test('mistakes in the options of the mechanism show when the registry is made', () => {
  expect(() => keyed(() => circuit({ minimum: 0 }))).toThrow('minimum')
  expect(() => keyed('x' as never)).toThrow('Expected `factory` to be a function')
  expect(() => keyed(() => circuit(), { size: 3 } as never)).toThrow('keyed has no option `size`')
})

test('one with a name is listed', () => {
  const registry = keyed(() => circuit(), { name: 'listed-registry' })
  expect(inspect().some(line => line.name === registry.name)).toBe(true)
})
