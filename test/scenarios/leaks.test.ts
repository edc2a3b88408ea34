/** Nothing stays behind after 100,000 calls that succeed, fail, time out, are aborted or lose a race. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { root } from '../support/files.ts'

interface Result {
  readonly outcomes: Readonly<Record<string, number>>
  readonly left: Readonly<Record<string, number>>
  readonly unhandled: readonly string[]
  readonly warnings: readonly string[]
  readonly heapGrowthBytes: number
  readonly bytesForReadingSwitches: number
}

it('100,000 mixed calls through every layer of isolation and degradation leave nothing behind', async () => {
  const program = join(root, 'test', 'scenarios', 'leaks-child.ts')
  const flags = ['--expose-gc', '--import', 'tsx', program, '100000']
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd: root, maxBuffer: 2 ** 26 })
  const result = JSON.parse(stdout) as Result
  const { outcomes, left, unhandled, warnings } = result
  expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(100_000)
  for (const outcome of ['answered', 'failed', 'deadline-exceeded'])
    expect(outcomes[outcome]).toBeGreaterThan(1_000)
  expect(left).toEqual(Object.fromEntries(Object.keys(left).map(name => [name, 0])))
  expect({ unhandled, warnings }).toEqual({ unhandled: [], warnings: [] })
  // One forgotten listener, timer or waiter for each call would be eight megabytes and more.
  expect(result.heapGrowthBytes).toBeLessThan(2_000_000)
  // A few bytes for each of 300,000 readings would be megabytes too.
  expect(result.bytesForReadingSwitches).toBeLessThan(500_000)
})
