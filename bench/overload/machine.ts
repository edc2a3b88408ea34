/** What the machine does besides: read from /proc, so nothing is known of it where there is none. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, setPriority } from 'node:os'

/** One tick of the accounts in /proc, in milliseconds. It is 100 a second on every Linux that runs Node. */
const TICK_MS = 10

/** Whether processes can be given a core each. */
export const pins: boolean =
  availableParallelism() >= 2 && spawnSync('taskset', ['--version'], { stdio: 'ignore' }).status === 0

/** Where sessions share the processors as equals, the priority of a process counts only within its own. */
export function raisePriority(): void {
  const file = '/proc/self/autogroup'
  try {
    const before = /nice (-?\d+)/.exec(readFileSync(file, 'utf8'))![1]!
    writeFileSync(file, '-19')
    process.on('exit', () => writeFileSync(file, before))
  } catch {
    // Not on this system, or not allowed.
  }
}

/** Gives a process, with all its threads, a core of its own: 0 for the server, 1 for the clients. */
export function pin(pid: number, core: 0 | 1): void {
  try {
    setPriority(pid, -10)
  } catch {
    // Only root may. Whoever shares the core then shows in `watchCore`.
  }
  allow(pid, String(core))
}

/** Gives a process all cores. */
export function unpin(pid: number): void {
  allow(pid, `0-${availableParallelism() - 1}`)
}

function allow(pid: number, cores: string): void {
  if (pins) spawnSync('taskset', ['-a', '-c', '-p', cores, String(pid)], { stdio: 'ignore' })
}

/**
 * Stops a process that is not needed yet. One that waits takes no time for a while, but after some seconds V8 takes a
 * good part of a second to make its heap smaller, from whoever shares the core.
 */
export function freeze(pid: number): void {
  signal(pid, 'SIGSTOP')
}

export function thaw(pid: number): void {
  signal(pid, 'SIGCONT')
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name)
  } catch {
    // Not on this system.
  }
}

/** How much processor time a process has had, all its threads together: to the nanosecond, unlike what counts ticks. */
export function usedMs(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + threadMs(pid, thread), 0)
  } catch {
    return Number.NaN
  }
}

/** How much of that its loop has had. */
export function usedOnLoopMs(pid: number): number {
  try {
    return threadMs(pid, String(pid))
  } catch {
    return Number.NaN
  }
}

function threadMs(pid: number, thread: string): number {
  const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
  return Number(ns) / 1e6
}

/**
 * How long the server's core has worked for anybody. Time that the hypervisor took counts; interrupts do not, because
 * it is the load's own packets that they are for.
 */
function busyMs(): number {
  const line = read('/proc/stat')
    ?.split('\n')
    .find(text => text.startsWith(pins ? 'cpu0 ' : 'cpu '))
  if (line === undefined) return Number.NaN
  const [user, nice, system, , , , , steal] = line.trim().split(/\s+/).slice(1).map(Number) as number[]
  return (user! + nice! + system! + steal!) * TICK_MS
}

/** Begins to watch the server's core; the result tells which part of it others have had since. */
export function watchCore(pid: number): () => number {
  if (!pins) return () => Number.NaN
  const startedAt = performance.now()
  const busy = busyMs() - usedMs(pid)
  return () => Math.max(0, (busyMs() - usedMs(pid) - busy) / (performance.now() - startedAt))
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
