import { expect, test } from 'vitest'
import { Latencies } from './latencies.ts'

test('says nothing before it has seen enough', () => {
  const latencies = new Latencies(0.95, 100, 1_000)
  for (let i = 0; i < 99; i++) latencies.record(10, 0)
  expect(latencies.value).toBeUndefined()
  latencies.record(10, 0)
  expect(latencies.value).toBeCloseTo(10, 0)
  expect(latencies.samples).toBe(0)
})

test('the quantile is right to one part in a hundred, from microseconds to minutes', () => {
  for (const scale of [0.01, 1, 100, 1_000]) {
    const latencies = new Latencies(0.95, 1_000, 1_000)
    for (let i = 1; i <= 1_000; i++) latencies.record(i * scale, 0)
    expect(latencies.value! / (950 * scale)).toBeGreaterThan(0.99)
    expect(latencies.value! / (950 * scale)).toBeLessThan(1.02)
  }
})

test('a period stands for the next one, and is then forgotten', () => {
  const latencies = new Latencies(0.5, 10, 1_000)
  for (let i = 0; i < 10; i++) latencies.record(10, 0)
  for (let i = 0; i < 50; i++) latencies.record(200, 500)
  expect(latencies.value).toBeCloseTo(10, 0)
  latencies.record(200, 1_000)
  expect(latencies.value).toBeCloseTo(200, -1)
})

test('a period with too few calls goes on', () => {
  const latencies = new Latencies(0.5, 10, 1_000)
  for (let i = 0; i < 10; i++) latencies.record(10, 0)
  for (let i = 0; i < 9; i++) latencies.record(50, i * 10_000)
  expect(latencies.value).toBeCloseTo(10, 0)
  latencies.record(50, 100_000)
  expect(latencies.value).toBeCloseTo(50, 0)
})

test('a latency beyond all measure is taken for an hour, and none for a microsecond', () => {
  const latencies = new Latencies(1, 2, 1)
  latencies.record(1e12, 0)
  latencies.record(0, 0)
  expect(latencies.value).toBeGreaterThan(3_500_000)
  latencies.reset()
  expect(latencies.value).toBeUndefined()
})
