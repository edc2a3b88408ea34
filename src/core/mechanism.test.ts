import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { inspect, type Mechanism, register } from './mechanism.ts'

class Counter implements Mechanism {
  readonly kind: string = 'counter'
  readonly name: string
  count = 0
  constructor(name: string) {
    this.name = name
  }
  update(): void {}
  snapshot(): { readonly count: number } {
    return { count: this.count }
  }
  reset(): void {
    this.count = 0
  }
}

const listed = (): readonly string[] => inspect().map(({ name }) => name)

test('registered mechanisms are listed in the order in which they were made, as they are now', () => {
  const first = register(new Counter('first'))
  const second = register(new Counter('second'))
  second.count = 3
  expect(inspect().filter(({ name }) => name === 'first' || name === 'second')).toEqual([
    { kind: 'counter', name: 'first', snapshot: { count: 0 } },
    { kind: 'counter', name: 'second', snapshot: { count: 3 } },
  ])
  expect(first).toBeInstanceOf(Counter)
})

test('two mechanisms of one name are both listed', () => {
  const twins = [register(new Counter('twin')), register(new Counter('twin'))]
  expect(listed().filter(name => name === 'twin')).toHaveLength(twins.length)
})

test('to be listed keeps no mechanism alive', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const kept = register(new Counter('kept'))
  for (let i = 0; i < 100; i++) register(new Counter('dropped'))
  expect(listed().filter(name => name === 'dropped')).toHaveLength(100)
  for (let tries = 0; tries < 50 && listed().includes('dropped'); tries++) {
    await new Promise(resolve => setImmediate(resolve))
    gc()
  }
  expect(listed()).not.toContain('dropped')
  expect(listed()).toContain(kept.name)
})
