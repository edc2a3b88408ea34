/** What 100,000 calls that share one AbortSignal and one parent context leave behind: nothing. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { root } from './support/files.ts'

const program = join(root, 'test', 'support', 'leaks.ts')

interface Left {
  readonly grownBytes: number
  readonly listeners: number
  readonly alarms: number
  readonly inFlight: number
}

async function leftBy(scenario: string): Promise<Left> {
  const flags = ['--expose-gc', '--import', 'tsx', program, scenario]
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd: root })
  return JSON.parse(stdout) as Left
}

describe.concurrent('100,000 calls leave nothing behind', () => {
  test.each([
    'a call in a created context',
    'a handler that reads its signal',
    'a deadline, a signal and a failure',
    'an ambient context',
    'a handler that is cut off',
    'a context that is opened, read, cancelled and closed',
  ])('%s', async scenario => {
    const { grownBytes, ...rest } = await leftBy(scenario)
    expect(rest).toEqual({ listeners: 0, alarms: 0, inFlight: 0 })
    // One forgotten listener, timer or frame for each call would be ten megabytes and more.
    expect(grownBytes).toBeLessThan(1_000_000)
  })
})
