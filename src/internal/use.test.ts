import { describe, expect, test } from 'vitest'
import { cpuUse, loopUse } from './process-use.ts'
import { Use } from './use.ts'

describe('use', () => {
  test('is the mean over the stretch since the last reading', () => {
    let used = 0
    const use = new Use(() => used, 1, 100, 0)
    expect(use.read(1_000)).toBe(0)
    used = 80
    expect(use.read(1_100)).toBeCloseTo(0.8)
    used = 90
    expect(use.read(1_150)).toBeCloseTo(0.8)
    expect(use.read(1_200)).toBeCloseTo(0.1)
  })

  test('of half a processor, half a processor is all', () => {
    let used = 0
    const use = new Use(() => used, 0.5, 100, 0)
    use.read(0)
    used = 50
    expect(use.read(100)).toBe(1)
    used = 300
    expect(use.read(200)).toBe(1)
  })

  test('smooths over its time constant, however long the stretches are', () => {
    const readings = [1, 10].map(steps => {
      let used = 0
      const use = new Use(() => used, 1, 100, 1_000)
      use.read(0)
      for (let i = 1; i <= steps; i++) {
        used = (1_000 * i) / steps
        use.read((1_000 * i) / steps)
      }
      return use.read(1_000)
    })
    expect(readings[0]).toBeCloseTo(1 - Math.exp(-1))
    expect(readings[1]).toBeCloseTo(readings[0]!)
  })

  test('one that nobody has asked in a long while is not what it was then', () => {
    let used = 0
    const use = new Use(() => used, 1, 100, 1_000)
    use.read(0)
    used = 1_000
    expect(use.read(1_000)).toBeGreaterThan(0.6)
    expect(use.read(60_000)).toBeLessThan(0.01)
  })

  test('a clock that goes backwards starts it anew', () => {
    let used = 0
    const use = new Use(() => used, 1, 100, 0)
    use.read(10_000)
    used = 50
    expect(use.read(500)).toBe(0)
    used = 150
    expect(use.read(600)).toBe(1)
    use.reset()
    expect(use.read(700)).toBe(0)
  })
})

test('reads this process and its loop', () => {
  for (const use of [cpuUse(), loopUse()]) {
    use.read(performance.now())
    const until = performance.now() + 120
    while (performance.now() < until);
    expect(use.read(performance.now())).toBeGreaterThan(0)
    expect(use.read(performance.now())).toBeLessThanOrEqual(1)
  }
})
