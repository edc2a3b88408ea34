/**
 * How many processors this process may use, as a fraction: what the machine has, and what its control groups
 * leave of that.
 *
 *   version 2   cpu.max = "<quota> <period>" or "max <period>", in the group and in every group above it
 *   version 1   cpu.cfs_quota_us (-1 for none) over cpu.cfs_period_us
 *
 * `/proc/self/cgroup` names the group. Inside a container the file system may be mounted so that the group is its
 * root while the name is the one outside, so the root is looked at as well.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Reads a file, or says that there is none. */
export type ReadText = (path: string) => string | undefined

const ROOT = '/sys/fs/cgroup'

/** The number of processors that may be used: at most `cores`, and above 0. */
export function cpuLimit(read: ReadText = readText, cores: number = availableParallelism()): number {
  let limit = cores
  for (const path of quotaFiles(read('/proc/self/cgroup') ?? '')) {
    const quota = path.endsWith('cpu.max') ? quotaOfV2(read(path)) : quotaOfV1(read, path)
    if (quota !== undefined && quota < limit) limit = quota
  }
  return limit
}

/** The files that may hold a quota, for a process whose `/proc/self/cgroup` reads `groups`. */
function* quotaFiles(groups: string): Generator<string> {
  yield `${ROOT}/cpu.max`
  yield `${ROOT}/cpu/cpu.cfs_quota_us`
  yield `${ROOT}/cpu,cpuacct/cpu.cfs_quota_us`
  for (const line of groups.split('\n')) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || group === undefined || group.includes('..')) continue
    if (controllers === '') yield* upwards(ROOT, group, 'cpu.max')
    else if (controllers.split(',').includes('cpu')) {
      yield* upwards(`${ROOT}/${controllers}`, group, 'cpu.cfs_quota_us')
      yield* upwards(`${ROOT}/cpu`, group, 'cpu.cfs_quota_us')
    }
  }
}

function* upwards(root: string, group: string, file: string): Generator<string> {
  for (let at = group; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/')))
    yield `${root}${at}/${file}`
}

function quotaOfV2(text: string | undefined): number | undefined {
  const [, quota, period] = /^(\d+) (\d+)/.exec(text ?? '') ?? []
  return ratio(quota, period)
}

function quotaOfV1(read: ReadText, path: string): number | undefined {
  const quota = /^\d+/.exec(read(path) ?? '')?.[0]
  return quota === undefined ? undefined : ratio(quota, read(path.replace('quota', 'period')))
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const cpus = Number(quota) / Number(period)
  return Number.isFinite(cpus) && cpus > 0 ? cpus : undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
