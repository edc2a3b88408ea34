import { expect, test } from 'vitest'
import { type CircuitSettings, checkCircuit, circuitDefaults } from './circuit-options.ts'

const bad: Partial<Record<keyof CircuitSettings, readonly unknown[]>> = {
  failureRatio: [0, 1.01, Number.NaN, '0.5'],
  slowMs: [-1, Number.NaN],
  slowRatio: [0, 2],
  minimum: [0, 2.5, Infinity],
  consecutiveFailures: [0, 1.5],
  windowMs: [0, Infinity],
  buckets: [0, 1.5, 1_001],
  openMs: [0, Infinity],
  openFactor: [0.9],
  maxOpenMs: [0, Infinity],
  jitterRatio: [-0.1, 1.1],
  probes: [0, 1.5],
  successesToClose: [0],
  probeFailures: [-1, 0.5],
  probeTimeoutMs: [0, Infinity],
  lostProbe: ['success'],
  retry: ['later'],
  random: [0.5],
}

test('the defaults are allowed', () => {
  expect(checkCircuit(circuitDefaults)).toBe(circuitDefaults)
})

test('every setting is checked, and the message names it', () => {
  expect(Object.keys(bad).toSorted()).toEqual(Object.keys(circuitDefaults).toSorted())
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      expect(() => checkCircuit({ ...circuitDefaults, [name]: value })).toThrow(`Expected \`${name}\` to be`)
    }
  }
})
