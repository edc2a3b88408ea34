import { expect, test } from 'vitest'
import { checkHedge, type HedgeOptions } from './hedge-options.ts'

test('what is left out has its default', () => {
  const settings = checkHedge({})
  expect(settings).toMatchObject({ attempts: 2, delayMs: undefined, minUsefulMs: 1, maxHintMs: 60_000 })
  expect(settings).toMatchObject({ idempotent: undefined, name: 'hedge' })
  expect(settings.latencies).toBeDefined()
  expect(settings.budget).toBeDefined()
})

test('latencies are measured only where the delay comes from them', () => {
  expect(checkHedge({ delayMs: 50 }).latencies).toBeUndefined()
})

test('every option is checked, and the message names it', () => {
  const bad: readonly [HedgeOptions, string][] = [
    [{ attempts: 0 }, '`attempts`'],
    [{ attempts: 11 }, '`attempts`'],
    [{ delayMs: -1 }, '`delayMs`'],
    [{ quantile: 1.1 }, '`quantile`'],
    [{ minSamples: 0 }, '`minSamples`'],
    [{ periodMs: 0 }, '`periodMs`'],
    [{ minUsefulMs: -1 }, '`minUsefulMs`'],
    [{ maxHintMs: Number.NaN }, '`maxHintMs`'],
    [{ idempotent: 1 as never }, '`idempotent`'],
    [{ name: '' }, '`name`'],
  ]
  for (const [options, named] of bad) expect(() => checkHedge(options)).toThrow(`Expected ${named} to be`)
  expect(() => checkHedge({ delay: 5 } as never)).toThrow('hedge has no option `delay`')
})
