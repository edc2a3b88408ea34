import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cpuLimit } from './cpu-limit.ts'

const files = (content: Readonly<Record<string, string>>) => (path: string) => content[path]

describe('control groups, version 2', () => {
  test('a quota in the root of a container', () => {
    const read = files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000\n' })
    expect(cpuLimit(read, 8)).toBe(0.5)
  })

  test('a quota of the group itself, seen from outside of a container', () => {
    const read = files({
      '/proc/self/cgroup': '0::/kubepods/pod1/box\n',
      '/sys/fs/cgroup/kubepods/pod1/box/cpu.max': '250000 100000\n',
    })
    expect(cpuLimit(read, 8)).toBe(2.5)
  })

  test('the narrowest quota on the way up counts', () => {
    const read = files({
      '/proc/self/cgroup': '0::/kubepods/pod1/box\n',
      '/sys/fs/cgroup/kubepods/pod1/box/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/kubepods/pod1/cpu.max': '125000 100000\n',
      '/sys/fs/cgroup/kubepods/cpu.max': '400000 100000\n',
    })
    expect(cpuLimit(read, 8)).toBe(1.25)
  })

  test('no quota leaves what the machine has', () => {
    const read = files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' })
    expect(cpuLimit(read, 3)).toBe(3)
  })
})

describe('control groups, version 1', () => {
  const v1 = '3:cpuset:/\n1:cpu,cpuacct:/docker/abc\n'

  test('a quota under the joined name of the controllers', () => {
    const read = files({
      '/proc/self/cgroup': v1,
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': '25000\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us': '100000\n',
    })
    expect(cpuLimit(read, 4)).toBe(0.25)
  })

  test('a quota in the root that a container sees, while its name is the one outside', () => {
    const read = files({
      '/proc/self/cgroup': v1,
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '150000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    })
    expect(cpuLimit(read, 4)).toBe(1.5)
  })

  test('-1 is no quota', () => {
    const read = files({
      '/proc/self/cgroup': v1,
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    })
    expect(cpuLimit(read, 4)).toBe(4)
  })
})

test('without control groups it is what the machine has', () => {
  expect(cpuLimit(() => undefined, 2)).toBe(2)
})

test('whatever the files hold, it is a number above 0 and no more than the machine has', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (groups, quota, period) => {
      const read = (path: string): string =>
        path.endsWith('cgroup') ? groups : path.includes('period') ? period : quota
      const limit = cpuLimit(read, 4)
      expect(limit).toBeGreaterThan(0)
      expect(limit).toBeLessThanOrEqual(4)
    }),
  )
})

test('reads this machine', () => {
  expect(cpuLimit()).toBeGreaterThan(0)
})
