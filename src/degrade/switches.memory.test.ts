/** What reading a switch takes of the heap, in a process of its own, whose heap nobody else uses. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const reads = 300_000

it('reading a switch allocates nothing, whatever it is set to', async () => {
  const program = join(import.meta.dirname, '../../test/scenarios/switch-reads-child.ts')
  // Nothing is collected while it reads: what is allocated stays to be counted.
  const flags = ['--expose-gc', '--max-semi-space-size=64', '--min-semi-space-size=64', '--import', 'tsx']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program, String(reads)])
  const bytes = JSON.parse(stdout) as Record<string, number>
  const { control, ...switched } = bytes
  // An object with one field is 16 bytes at least: what is measured sees those.
  expect(control).toBeGreaterThan(16 * reads)
  expect(Object.keys(switched)).toHaveLength(6)
  for (const [name, used] of Object.entries(switched)) {
    expect([name, used! < reads]).toEqual([name, true])
  }
})
