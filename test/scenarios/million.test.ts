/** A million calls that succeed, fail, are repeated, hedged, refused, time out and are aborted leave nothing behind. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { root } from '../support/files.ts'

interface Result {
  readonly outcomes: Readonly<Record<string, number>>
  readonly retries: number
  readonly grownBytes: number
  readonly unhandled: readonly string[]
  readonly warnings: readonly string[]
}

it('no call in flight, no listener, no timer and a flat heap after a million mixed calls', async () => {
  const total = 1_000_000
  const program = join(root, 'test', 'scenarios', 'million-child.ts')
  const flags = ['--expose-gc', '--import', 'tsx', program, String(total)]
  // It ends with an error if `settled` finds anything.
  const { stdout } = await promisify(execFile)(process.execPath, flags, {
    cwd: root,
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const { outcomes, retries, grownBytes, unhandled, warnings } = JSON.parse(stdout) as Result
  expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).toBe(total)
  for (const outcome of [
    'answered',
    'failed',
    'deadline-exceeded',
    'breaker-open',
    'bulkhead-full',
    'gone',
    'gone at once',
  ]) {
    expect([outcome, (outcomes[outcome] ?? 0) >= 200]).toEqual([outcome, true])
  }
  expect(retries).toBeGreaterThan(20_000)
  expect({ unhandled, warnings }).toEqual({ unhandled: [], warnings: [] })
  // One forgotten listener, timer or waiter for each call would be a hundred megabytes.
  expect(grownBytes).toBeLessThan(2_000_000)
})
