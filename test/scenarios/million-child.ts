/**
 * Makes mixed calls through everything on the calling side, and prints what came of them and what is left.
 * `node --expose-gc --import tsx test/scenarios/million-child.ts 1000000`
 */
import {
  type Alarm,
  type Clock,
  type Context,
  type ContextOptions,
  chain,
  createContext,
  openContext,
  Rejection,
} from 'spillway'
import { breaker, circuit, keyed, throttle } from 'spillway/breaker'
import { fallback, singleflight } from 'spillway/degrade'
import { bulkhead, lanes } from 'spillway/isolation'
import { hedge, retry, retryBudget } from 'spillway/retry'
import { settled } from 'spillway/testing'
import { attemptDeadline, deadline } from 'spillway/timeout'

const total = Number(process.argv[2] ?? 1_000_000)
const BATCH = 1_000

/** A clock that is moved by hand, a millisecond at a time: with so many alarms one after the other takes too long. */
class SteppedClock implements Clock {
  armed = 0
  private time = 0
  private readonly slots = new Map<number, Set<Alarm>>()
  private readonly slotOf = new Map<Alarm, number>()

  now(): number {
    return this.time
  }

  arm(alarm: Alarm, at: number): void {
    this.disarm(alarm)
    alarm.at = at
    const ms = Math.max(this.time + 1, Math.ceil(at))
    const slot = this.slots.get(ms)
    if (slot === undefined) this.slots.set(ms, new Set([alarm]))
    else slot.add(alarm)
    this.slotOf.set(alarm, ms)
    this.armed++
  }

  disarm(alarm: Alarm): void {
    const ms = this.slotOf.get(alarm)
    if (ms === undefined) return
    this.slotOf.delete(alarm)
    this.slots.get(ms)!.delete(alarm)
    this.armed--
  }

  async advance(ms: number): Promise<void> {
    await new Promise(setImmediate)
    for (const until = this.time + ms; this.time < until; ) {
      const slot = this.slots.get(++this.time)
      if (slot === undefined) continue
      for (const alarm of slot) {
        this.disarm(alarm)
        alarm.ring()
      }
      this.slots.delete(this.time)
      await new Promise(setImmediate)
    }
  }
}

const clock = new SteppedClock()
const service = new AbortController()
const parent = openContext({ clock, signal: service.signal })
const endless = createContext({ clock })

let inside = 0
function wait(context: Context, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const alarm = { at: 0, keepAlive: false, next: undefined, previous: undefined, ring: () => end(resolve) }
    const gone = (): void => end(() => reject(context.signal.reason))
    const end = (how: () => void): void => {
      clock.disarm(alarm)
      context.signal.removeEventListener('abort', gone)
      how()
    }
    context.signal.addEventListener('abort', gone)
    clock.arm(alarm, clock.now() + ms)
  })
}
const unavailable = (): Error => Object.assign(new Error('unavailable'), { status: 503 })

/** What calls meet with: most an answer, one in sixteen whatever can go wrong. */
function answer(n: number, context: Context): Promise<number> | number {
  const kind = ((n * 37) % 250) - 150
  if (kind < 84) return n
  if (kind < 86) return wait(context, 4).then(() => n)
  if (kind < 89) return context.attempt > 1 ? n : Promise.reject(unavailable())
  if (kind < 91) return Promise.reject(unavailable())
  if (kind < 92) return Promise.reject(Object.assign(new Error('not found'), { status: 404 }))
  if (kind < 93)
    return Promise.reject(new Rejection({ reason: 'no-endpoint', policy: 'x', retry: 'elsewhere' }))
  if (kind < 95) return wait(context, 1e6).then(() => n)
  // One that does not listen, and one that listens and never takes its listener back.
  if (kind < 96) return wait(endless, 12).then(() => n)
  if (kind < 98) {
    context.signal.addEventListener('abort', () => {})
    return context.attempt > 1 ? n : wait(context, 9).then(() => n)
  }
  throw unavailable()
}
async function backend(n: number, context: Context): Promise<number> {
  inside++
  try {
    return await answer(n, context)
  } finally {
    inside--
  }
}

const budget = retryBudget({ ratio: 0.05, minPerSecond: 50, name: 'budget' })
const slow = throttle({ clock, minRequests: 1e9, name: 'throttle' })
// Opens, is tried and closes again all the time.
const endpoints = keyed(() => circuit({ clock, consecutiveFailures: 1, openMs: 1_000, retry: 'elsewhere' }), {
  max: 8,
  name: 'endpoints',
})
const places = bulkhead({ limit: 400, queue: 100, maxWaitMs: 15 })
const apart = lanes({
  lanes: { even: { limit: 250, queue: 20 }, odd: { limit: 250, queue: 200 } },
  classify: (n: number) => (n % 2 === 0 ? 'even' : 'odd'),
})
const shared = singleflight({ key: (n: number) => (n % 3 === 0 ? String(n % 40) : undefined) })
const standIn = fallback<number, number>({ default: async n => -n, limit: 500 })
const inner = [
  breaker(slow),
  breaker<number>(endpoints, { key: n => (n % 9 === 0 ? `endpoint ${n % 11}` : undefined) }),
  places,
] as const
const again = retry({ idempotent: true, budget })
const twice = hedge({ idempotent: true, budget, delayMs: 3 })
const learning = hedge({ idempotent: true, budget, minSamples: 50, periodMs: 100 })
const calls = [
  chain<number>(deadline({ totalMs: 60 }), again, ...inner)(backend),
  chain<number>(deadline({ totalMs: 60 }), twice, ...inner)(backend),
  chain<number>(learning, ...inner, attemptDeadline({ attemptMs: 30 }))(backend),
  chain<number>(again, attemptDeadline({ attemptMs: 8 }), apart)(backend),
  chain<number, number>(standIn, shared, deadline({ totalMs: 20 }), again, places)(backend),
]

const outcomes: Record<string, number> = {}
const count = (outcome: string): void => {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
}
const answered = (): void => count('answered')
const failed = (error: { reason?: string } | string): void =>
  count(typeof error === 'string' ? error : (error.reason ?? 'failed'))

interface Cut {
  readonly cancel: (reason: string) => void
}

async function play(from: number): Promise<void> {
  const answers: Promise<void>[] = []
  const cuts: Cut[][] = [[], [], []]
  for (let n = from; n < from + BATCH; n++) {
    const call = calls[n % calls.length]!
    if (n % 7 === 0) {
      // Cancelled at once, while it is out, while it waits before another attempt or for a place.
      const open = openContext({ parent: parent.context, timeoutMs: 500 })
      answers.push(call(n, open.context).then(answered, failed).then(open.close))
      if (n % 4 === 0) open.cancel('gone at once')
      else cuts[n % 3]!.push({ cancel: open.cancel })
    } else {
      const options: ContextOptions =
        n % 2 === 0 ? { parent: parent.context, timeoutMs: 100 } : { clock, signal: service.signal }
      answers.push(call(n, createContext(options)).then(answered, failed))
    }
  }
  for (const [i, ms] of [1, 4, 20].entries()) {
    await clock.advance(ms)
    for (const { cancel } of cuts[i]!) cancel('gone')
  }
  await clock.advance(600)
  await Promise.all(answers)
}

async function atRest(): Promise<number> {
  const mechanisms = [budget, slow, endpoints, places, apart, shared, standIn]
  await settled({ clock, signals: [service.signal], contexts: [parent.context, endless], mechanisms })
  if (inside !== 0) throw new Error(`${inside} calls are still inside`)
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate)
    globalThis.gc!()
  }
  return process.memoryUsage().heapUsed
}

const unhandled: string[] = []
process.on('unhandledRejection', reason => unhandled.push(String(reason)))
const warnings: string[] = []
process.on('warning', warning => warnings.push(warning.message))

let before = 0
for (let made = 0; made < total; made += BATCH) {
  if (made === BATCH * Math.floor(total / BATCH / 5)) before = await atRest()
  await play(made)
}
const grownBytes = (await atRest()) - before
const retries = budget.snapshot().withdrawn
console.log(JSON.stringify({ outcomes, retries, grownBytes, unhandled, warnings }))
