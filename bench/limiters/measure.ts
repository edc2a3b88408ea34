/**
 * Measures one limiter in this process: `measure.ts speed NAME MILLISECONDS` or `measure.ts memory NAME KEYS`, the
 * latter under --expose-gc.
 */
import { answer } from '../lib/child.ts'
import { type Subject, subjects } from './subjects.ts'

const [what, name = '', amount = ''] = process.argv.slice(2)
const make = subjects[name]
if (make === undefined) throw new Error(`No limiter is called ${JSON.stringify(name)}`)

const KEYS = 100_000
/** For a limiter whose every job takes a quarter of a millisecond. */
const FEW_KEYS = 1_000

/** All addresses in one piece of memory, as they would be in what a socket has received. */
const names = Array.from({ length: KEYS }, (_, i) => addressOf(i))
const ends = names.map(() => 0)
for (const [i, name] of names.entries()) ends[i] = (ends[i - 1] ?? 0) + name.length
const received = Buffer.from(names.join(''), 'latin1')

function addressOf(i: number): string {
  return `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
}

/** A new string each time, as it comes out of a parser: nobody has hashed it, or compared it with another. */
function keyOf(i: number): string {
  return received.toString('latin1', ends[i - 1] ?? 0, ends[i])
}

/** A generator of its own with a fixed seed, so that every limiter is asked for the same keys. */
function sequence(length: number, below: number): Uint32Array {
  let state = 12345
  return new Uint32Array(length).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  })
}

/** Asks for all of `keys`, in the way that is best for the limiter. */
async function askAll(subject: Subject, keys: readonly string[]): Promise<void> {
  if ('ask' in subject) for (const key of keys) subject.ask(key)
  else if (subject.together) await Promise.all(keys.map(subject.askLater))
  else for (const key of keys) await subject.askLater(key)
}

/**
 * Nanoseconds of processor time for each decision, over all threads and with what the garbage collector takes: a
 * limiter that leaves work to it has not saved that work. Time that other processes take does not count, nor does
 * the making of the keys.
 */
async function nanosecondsEach(subject: Subject, order: Uint32Array, forMs: number): Promise<number> {
  const size = 'together' in subject ? 100 : 2_000
  let from = 0
  let asked = 0
  let used = 0
  const until = performance.now() + forMs
  do {
    const batch = Array.from(order.subarray(from, from + size), keyOf)
    const before = process.cpuUsage()
    await askAll(subject, batch)
    const { user, system } = process.cpuUsage(before)
    used += user + system
    asked += size
    from = (from + size) % (order.length - size)
  } while (performance.now() < until)
  return (used * 1000) / asked
}

async function speed(forMs: number): Promise<object> {
  const subject = make!(KEYS)
  const keys = 'together' in subject ? FEW_KEYS : KEYS
  const random = sequence(1 << 20, keys)
  const hot = new Uint32Array(1 << 16)
  await askAll(
    subject,
    Array.from({ length: keys }, (_, i) => keyOf(i)),
  )
  await nanosecondsEach(subject, random, forMs / 2)
  const randomNs = await nanosecondsEach(subject, random, forMs)
  await nanosecondsEach(subject, hot, forMs / 4)
  return { randomNs, hotNs: await nanosecondsEach(subject, hot, forMs / 2) }
}

function inUse(): number {
  for (let i = 0; i < 4; i++) gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

async function memory(keys: number): Promise<object> {
  const before = inUse()
  const subject = make!(keys)
  for (let i = 0; i < keys; i += 1000) {
    await askAll(
      subject,
      Array.from({ length: 1000 }, (_, j) => addressOf(i + j)),
    )
  }
  const bytesPerKey = (inUse() - before) / keys
  // Asked once more, so that it is in use until here.
  await askAll(subject, [addressOf(0)])
  return { bytesPerKey }
}

answer(what === 'memory' ? await memory(Number(amount)) : await speed(Number(amount)))
process.exit(0)
