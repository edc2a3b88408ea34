/**
 * Measures one limiter in this process: `measure.ts speed NAME DECISIONS` or `measure.ts memory NAME KEYS`, the
 * latter under --expose-gc.
 */
import { answer } from '../lib/child.ts'
import { type Subject, subjects } from './subjects.ts'

const [what, name = '', amount = ''] = process.argv.slice(2)
const load = subjects[name]
if (load === undefined) throw new Error(`No limiter is called ${JSON.stringify(name)}`)
const make = await load()

const KEYS = 100_000
/** For a limiter whose every job takes a quarter of a millisecond. */
const FEW_KEYS = 1_000
/** Few enough for their keys to be new when they are asked for, enough for the clock of the processor. */
const BATCH = 2_000
const COMPILE_MS = 300

/** What a socket has received last. */
const received = Buffer.alloc(16, '10.')

/** A new string each time, as it comes out of a parser: nobody has hashed it, or compared it with another. */
function keyOf(i: number): string {
  let end = write(i >> 16, 3)
  received[end] = DOT
  end = write((i >> 8) & 255, end + 1)
  received[end] = DOT
  return received.toString('latin1', 0, write(i & 255, end + 1))
}

const DOT = 46

/** Puts a number up to 255 into what was received; returns where it ends. */
function write(byte: number, at: number): number {
  if (byte > 99) received[at++] = 48 + Math.floor(byte / 100)
  if (byte > 9) received[at++] = 48 + (Math.floor(byte / 10) % 10)
  received[at] = 48 + (byte % 10)
  return at + 1
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
async function nanosecondsEach(subject: Subject, order: Uint32Array): Promise<number> {
  let used = 0
  for (let from = 0; from < order.length; from += BATCH) {
    const batch = Array.from(order.subarray(from, from + BATCH), keyOf)
    const before = process.cpuUsage()
    await askAll(subject, batch)
    const { user, system } = process.cpuUsage(before)
    used += user + system
  }
  return (used * 1000) / order.length
}

/**
 * `decisions` over all keys at random, beginning with a limiter that has seen none of them: what a new key costs
 * comes back with every window. Then as many for one key.
 */
async function speed(decisions: number): Promise<object> {
  const few = 'together' in make(1)
  const keys = few ? FEW_KEYS : KEYS
  const random = sequence(few ? FEW_KEYS * 2 : decisions, keys)
  const hot = new Uint32Array(random.length / 4)
  await compile(few ? 200 : BATCH, few ? 0 : COMPILE_MS)
  const subject = make(KEYS)
  const randomNs = await nanosecondsEach(subject, random)
  await nanosecondsEach(subject, hot.subarray(0, BATCH))
  return { randomNs, hotNs: await nanosecondsEach(subject, hot) }
}

/** Until the code is compiled as it is in a service: by use, and for more than one limiter. */
async function compile(decisions: number, forMs: number): Promise<void> {
  const limiters = [make(FEW_KEYS), make(FEW_KEYS)]
  const order = sequence(decisions, FEW_KEYS)
  const until = performance.now() + forMs
  do for (const limiter of limiters) await nanosecondsEach(limiter, order)
  while (performance.now() < until)
}

function inUse(): number {
  for (let i = 0; i < 4; i++) gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

async function memory(keys: number): Promise<object> {
  const before = inUse()
  const subject = make(keys)
  for (let i = 0; i < keys; i += 1000) {
    await askAll(
      subject,
      Array.from({ length: 1000 }, (_, j) => keyOf(i + j)),
    )
  }
  const bytesPerKey = (inUse() - before) / keys
  // Asked once more, so that it is in use until here.
  await askAll(subject, [keyOf(0)])
  return { bytesPerKey }
}

answer(what === 'memory' ? await memory(Number(amount)) : await speed(Number(amount)))
process.exit(0)
