/** Run with --expose-gc: makes many calls that share one signal and one parent, and says what they left behind. */
import { getEventListeners } from 'node:events'
import { chain, createContext, gate, openContext, systemClock, withContext } from 'spillway'
import { deadline } from 'spillway/timeout'

const CALLS = 100_000
const AT_ONCE = 500

const shared = new AbortController()
const parent = openContext()
const options = { parent: parent.context, signal: shared.signal, timeoutMs: 60_000 }

let inFlight = 0
const counting = gate({
  kind: 'other',
  name: 'counting',
  until: 'work',
  admit: () => {
    inFlight++
  },
  settle: () => {
    inFlight--
  },
})
const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const plain = chain(counting)(tick)
const reading = chain(counting)(async (_request: unknown, { signal }) => {
  signal.addEventListener('abort', () => {})
  await tick()
})
const bounded = chain(
  deadline({ totalMs: 1_000 }),
  counting,
)(async (_request: unknown, { signal }) => {
  signal.addEventListener('abort', () => {})
  await tick()
  throw new Error('failed')
})
const cutOff = chain(
  deadline({ totalMs: 1 }),
  counting,
)(() => new Promise(resolve => setTimeout(resolve, 10)))

/** One call of each kind of trouble. Failures are what some of them are for. */
const scenarios: Readonly<Record<string, () => Promise<unknown>>> = {
  'a call in a created context': () => plain(undefined, createContext(options)),
  'a handler that reads its signal': () => reading(undefined, createContext(options)),
  'a deadline, a signal and a failure': () => bounded(undefined, createContext(options)),
  'an ambient context': () => withContext(createContext(options), () => bounded()),
  'a handler that is cut off': () => cutOff(undefined, createContext(options)),
  'a context that is opened, read, cancelled and closed': async () => {
    const { context, cancel, close } = openContext(options)
    context.signal.addEventListener('abort', () => {})
    const answer = plain(undefined, context)
    cancel()
    await answer.catch(() => {})
    close()
  },
}

async function run(call: () => Promise<unknown>, calls: number): Promise<void> {
  for (let done = 0; done < calls; done += AT_ONCE) {
    await Promise.allSettled(Array.from({ length: AT_ONCE }, call))
  }
}

async function heapBytes(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await new Promise(resolve => setTimeout(resolve, 20))
    gc!()
  }
  return process.memoryUsage().heapUsed
}

const call = scenarios[process.argv[2]!]!
await run(call, CALLS / 10)
const before = await heapBytes()
await run(call, CALLS)
const grown = (await heapBytes()) - before
const left = {
  grownBytes: grown,
  listeners: getEventListeners(shared.signal, 'abort').length,
  alarms: systemClock.armed,
  inFlight,
}
process.stdout.write(JSON.stringify(left))
process.exit()
