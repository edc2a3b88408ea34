/**
 * Reads switches, and prints how many bytes of the heap so many reads of each have taken.
 * `node --expose-gc --max-semi-space-size=64 --min-semi-space-size=64 --import tsx test/scenarios/switch-reads-child.ts 300000`
 */
import { type Clock, createContext } from 'spillway'
import { switches } from 'spillway/degrade'

const reads = Number(process.argv[2] ?? 300_000)
let time = 1
const clock: Clock = { now: () => time, arm() {}, disarm() {} }
const features = switches(
  {
    on: {},
    off: {},
    part: {},
    classes: {},
    load: { automatic: { load: () => 0.5, enterAt: 0.9, exitAt: 0.1 }, default: { level: 1 } },
  },
  { clock, key: () => 'a caller', random: () => 0 },
)
features.set('off', { level: 1 })
features.set('part', { level: 1, percent: 30 })
features.set('classes', { level: 1, criticality: 'sheddable' })
const context = createContext({ clock, caller: 'a caller' })

let sum = 0
const kept: unknown[] = [undefined]
const readers: Readonly<Record<string, () => void>> = {
  control: () => {
    kept[0] = { sum }
  },
  on: () => {
    sum += features.level('on', context)
  },
  off: () => {
    sum += features.level('off', context, 'another key')
  },
  part: () => {
    sum += features.isOn('part', context) ? 1 : 0
  },
  classes: () => {
    sum += features.level('classes', context)
  },
  load: () => {
    sum += features.level('load', context)
  },
  unknown: () => {
    sum += features.level('no such switch', context)
  },
}

function used(read: () => void): number {
  globalThis.gc!()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < reads; i++) read()
  return process.memoryUsage().heapUsed - before
}

const bytes: Record<string, number> = {}
for (const [name, read] of Object.entries(readers)) {
  // The first rounds warm up; of the others the least counts, for to compile takes memory too.
  const rounds = Array.from({ length: 8 }, () => used(read))
  bytes[name] = Math.min(...rounds.slice(3))
}
time += sum > 0 ? 1 : 0
console.log(JSON.stringify(bytes))
