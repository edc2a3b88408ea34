/** The server's core: how fast it is, and who else has had of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Child, start } from '../lib/child.ts'
import { compiled } from '../lib/compiled.ts'
import { quick } from '../lib/report.ts'
import { quantile } from './load.ts'
import { pin, usedMs, watchCore } from './machine.ts'
import type { Running } from './servers.ts'

/** What is measured is dirty when others have had more of the core than this, */
export const FOREIGN_SHARE = 0.05
/** and when it was slower than it has lately been by more than this. */
export const SPEED = 0.85
/** What was longer ago says nothing of how fast the core may be again: some machines stay slow for an hour. */
const LATELY_MS = 60_000
/** How often the speed of the core is looked at, and for how long, for the fastest, before anything is measured. */
const CALIBRATIONS = quick ? 3 : 30
const LOOK_MS = 100

export interface Measured {
  /** Which part of the server's core others have had; NaN where nothing tells. */
  readonly foreign: number
  /** How fast the core was: rounds of the speedometer in a millisecond. */
  readonly speed: number
  /** Processor time that the server has used. */
  readonly cpuMs: number
  readonly dirty: boolean
}

let speedometer: Child | undefined

export async function startSpeedometer(): Promise<void> {
  speedometer = start(compiled(new URL('./speedometer.ts', import.meta.url)))
  await speedometer.next()
  pin(speedometer.process.pid!, 0)
  for (let i = 0; i < CALIBRATIONS; i++) {
    await sleep(LOOK_MS)
    await coreSpeed()
  }
}

export function stopSpeedometer(): Promise<void> {
  return speedometer!.stop()
}

/** Watches the server's core over what `measure` does. */
export async function watched<T>(server: Running, measure: () => Promise<T>): Promise<T & Measured> {
  await coreSpeed()
  const foreign = watchCore(server.pid)
  const before = usedMs(server.pid)
  const outcome = await measure()
  const share = foreign()
  const cpuMs = usedMs(server.pid) - before
  const { speed, slow } = await coreSpeed()
  return { ...outcome, foreign: share, speed, cpuMs, dirty: share > FOREIGN_SHARE || slow }
}

/** Waits until the server's core is fast, but not for too long: slow spells last for some seconds. Says for how long. */
export async function fastCore(mostS: number): Promise<number> {
  const startedAt = performance.now()
  let waitedS = 0
  while (waitedS < mostS && (await coreSpeed()).slow) {
    await sleep(LOOK_MS)
    waitedS = (performance.now() - startedAt) / 1_000
  }
  return waitedS
}

/** The fastest that the core has been, in rounds of the speedometer in a millisecond. */
export let fastest = 0
let looks: { readonly at: number; readonly speed: number }[] = []

interface CoreSpeed {
  readonly speed: number
  /** Whether it has lately been a good deal faster, and not for a moment only. */
  readonly slow: boolean
}

/** How fast the core has been since this was last asked. */
async function coreSpeed(): Promise<CoreSpeed> {
  const reply = speedometer!.next<{ speed: number }>()
  speedometer!.send('speed')
  const { speed } = await reply
  fastest = Math.max(fastest, speed)
  const now = performance.now()
  looks = [...looks.filter(({ at }) => now - at < LATELY_MS), { at: now, speed }]
  const lately = quantile(
    looks.map(look => look.speed),
    0.8,
  )
  return { speed, slow: speed < SPEED * lately }
}
