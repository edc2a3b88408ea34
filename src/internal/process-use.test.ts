import { expect, test, vi } from 'vitest'
import { cpuUse } from './process-use.ts'

const { quota } = vi.hoisted(() => ({ quota: { cpus: 8 } }))
vi.mock('./cpu-limit.ts', () => ({ cpuLimit: () => quota.cpus }))

/** The use of a process that is busy for a quarter of the time. */
function quarterBusy(cpus: number): number {
  quota.cpus = cpus
  let usedMs = 0
  const spy = vi
    .spyOn(process, 'cpuUsage')
    .mockImplementation(() => ({ user: 900 * usedMs, system: 100 * usedMs }))
  const use = cpuUse()
  for (let now = 0; now <= 20_000; now += 100) {
    use.read(now)
    usedMs += 25
  }
  spy.mockRestore()
  return use.read(20_000)
}

test('the processor time of a process is out of what its container leaves it, and of one processor at most', () => {
  expect(quarterBusy(0.25)).toBeCloseTo(1)
  expect(quarterBusy(0.5)).toBeCloseTo(0.5)
  // More than one is of no use to one thread: eight do not make it look idle.
  expect(quarterBusy(8)).toBeCloseTo(0.25)
})
