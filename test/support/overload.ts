/** Handlers, shedders and load for the simulator: one line for each point of a curve. */
import type { Loop } from '../../src/internal/event-loop.ts'
import { importanceOf, ShedCall } from '../../src/shedding/call.ts'
import { runnerOf } from '../../src/shedding/runner.ts'
import type { Shedder } from '../../src/shedding/shedder.ts'
import { type EventLoop, eventLoop } from '../../src/testing/event-loop.ts'
import { type LoadReport, type LoadTally, quantile, type Traits } from '../../src/testing/load-report.ts'
import { type LoopRequest, type OpenLoopOptions, openLoop } from '../../src/testing/open-loop.ts'

export type Work = (request: LoopRequest, done: (ok?: boolean) => void) => void

export interface Handler {
  /** How many requests a second it can serve, everything included. */
  readonly capacity: number
  readonly make: (loop: EventLoop) => Work
  readonly traits?: (random: () => number) => Traits
}

/** What reading a request and writing its answer cost. */
const ioMs = 0.02

/** A pool of `size` connections, each held for as long as `holdMs` says. */
export function pool(size: number, holdMs: (now: number) => number, cpuMs: number = 0.05): Handler['make'] {
  return loop => {
    let free = size
    const waiting: (() => void)[] = []
    return (_request, done) => {
      loop.burn(cpuMs)
      const hold = (): void => {
        loop.setTimeout(() => {
          const next = waiting.shift()
          if (next === undefined) free++
          else next()
          done()
        }, holdMs(loop.now()))
      }
      if (free === 0) waiting.push(hold)
      else {
        free--
        hold()
      }
    }
  }
}

/** A handler on a machine that others use too: at random times the loop stands still in the middle of whatever it does. */
export function disturbed(
  make: Handler['make'],
  {
    everyMs,
    fromMs,
    toMs,
    seed,
  }: { readonly everyMs: number; readonly fromMs: number; readonly toMs: number; readonly seed: number },
): Handler['make'] {
  return loop => {
    const random = seeded(seed)
    const wait = (): number => -Math.log(1 - random()) * everyMs
    let next = loop.now() + wait()
    const work = make({
      ...bound(loop),
      burn: ms => {
        loop.burn(ms)
        if (loop.now() < next) return
        loop.burn(fromMs + (toMs - fromMs) * random())
        next = loop.now() + wait()
      },
    })
    return work
  }
}

/** The loop, slower by turns. */
function slowedBy(
  loop: EventLoop,
  { times, everyMs }: NonNullable<SimulateOptions['spells']>,
  seed: number,
): EventLoop {
  const random = seeded(seed + 1)
  let slow = false
  let until = loop.now()
  return {
    ...bound(loop),
    burn: ms => {
      while (loop.now() >= until) {
        slow = !slow
        until += everyMs * (0.5 + random())
      }
      loop.burn(slow ? times * ms : ms)
    },
  }
}

function bound(loop: EventLoop): EventLoop {
  return {
    clock: loop.clock,
    now: () => loop.now(),
    idleMs: () => loop.idleMs(),
    burn: ms => loop.burn(ms),
    nextTick: callback => loop.nextTick(callback),
    setImmediate: callback => loop.setImmediate(callback),
    setTimeout: (callback, ms) => loop.setTimeout(callback, ms),
    readable: (at, callback) => loop.readable(at, callback),
    connect: (at, callback) => loop.connect(at, callback),
    feed: source => loop.feed(source),
    run: until => loop.run(until),
  }
}

export const handlers = {
  /** 2 ms of synchronous work. */
  cpu: {
    capacity: 1_000 / (2 + ioMs),
    make: loop => (_request, done) => {
      loop.burn(2)
      done()
    },
  },
  /** 0.5 ms, 5 ms of waiting, 0.5 ms. */
  mixed: {
    capacity: 1_000 / (1 + ioMs),
    make: loop => (_request, done) => {
      loop.burn(0.5)
      loop.setTimeout(() => {
        loop.burn(0.5)
        done()
      }, 5)
    },
  },
  /** 20 connections, each held for 20 ms. */
  pool: { capacity: 1_000, make: pool(20, () => 20) },
  /** Nine in ten take 0.5 ms of the loop, the tenth 15. */
  costMix: {
    capacity: 1_000 / (0.9 * 0.5 + 0.1 * 15 + ioMs),
    traits: random => ({ route: random() < 0.1 ? '/heavy' : '/light' }),
    make: loop => (request, done) => {
      loop.burn(request.route === '/heavy' ? 15 : 0.5)
      done()
    },
  },
  /** 2 ms of work that the handler puts off with setImmediate. */
  deferred: {
    capacity: 1_000 / (2 + ioMs),
    make: loop => (_request, done) => {
      loop.setImmediate(() => {
        loop.burn(2)
        done()
      })
    },
  },
  /** A body that is read and parsed on a tick, as behind express.json(). */
  post: {
    capacity: 1_000 / (1.3 + ioMs),
    make: loop => (_request, done) => {
      loop.burn(0.1)
      loop.nextTick(() => {
        loop.burn(1.2)
        done()
      })
    },
  },
} satisfies Record<string, Handler> as Record<HandlerName, Handler>

export type HandlerName = 'cpu' | 'mixed' | 'pool' | 'costMix' | 'deferred' | 'post'

export const handlerNames: readonly HandlerName[] = ['cpu', 'mixed', 'pool', 'costMix', 'deferred', 'post']

/** A sequence of numbers from 0 to 1 that is the same for the same seed (Mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface SimulateOptions extends Partial<OpenLoopOptions> {
  readonly handler: Handler
  /** Load over capacity, and for how many seconds; phase after phase. */
  readonly loads: readonly (readonly [load: number, seconds: number])[]
  /** @default none: every request goes straight to its handler */
  readonly shedder?: Shedder | undefined
  readonly seed?: number
  /** Blocks the loop for so long every so often: `[80, 5_000]`. */
  readonly pause?: readonly [ms: number, everyMs: number]
  /** By turns of about `everyMs`, all but the handlers takes so many times as long: neighbours share the core. */
  readonly spells?: { readonly times: number; readonly everyMs: number }
  /** Told of each call that begins or is refused. */
  readonly watch?: (call: ShedCall, what: 'begins' | 'refused', now: number) => void
}

/** Runs a handler behind a shedder under a load in virtual time. */
export function simulate(options: SimulateOptions): LoadReport {
  const { handler, loads, shedder, seed = 42, pause, spells, watch, ...rest } = options
  const loop = eventLoop()
  const work = handler.make(loop)
  if (pause !== undefined) {
    const [ms, everyMs] = pause
    const stop = (): void => {
      loop.burn(ms)
      loop.setTimeout(stop, everyMs)
    }
    loop.setTimeout(stop, everyMs)
  }
  return openLoop(
    spells === undefined ? loop : slowedBy(loop, spells, seed),
    {
      phases: loads.map(([load, seconds]) => ({ ratePerSecond: load * handler.capacity, seconds })),
      random: seeded(seed),
      ...(handler.traits === undefined ? {} : { traits: handler.traits }),
      ...rest,
    },
    shedder === undefined
      ? request => work(request, (ok = true) => request.respond(ok ? 'ok' : 'failed'))
      : behind(shedder, loop, work, rest.connections === 'fresh', watch),
  )
}

export interface ClosedOptions {
  readonly make: Handler['make']
  readonly shedder: Shedder
  /** They all come within `withinMs`. */
  readonly clients: number
  readonly withinMs: number
  /** How long an answer, or a refusal, and the request that follows it are on their way. */
  readonly awayMs: number
  readonly seconds: number
}

/** Clients that each send as soon as they are answered or refused: the times of all answers, second by second. */
export function simulateClosed(options: ClosedOptions): number[][] {
  const { make, shedder, clients, withinMs, awayMs, seconds } = options
  const loop = eventLoop()
  const start = loop.now()
  const answers = Array.from({ length: seconds }, (): number[] => [])
  const request = {
    route: '/',
    criticality: 'critical',
    tenant: undefined,
    attempt: 1,
    gone: false,
  } as const
  const serve = behind(shedder, loop, make(loop), false, undefined)
  const send = (at: number): void => {
    loop.readable(at, () => {
      loop.burn(0.012)
      serve({
        ...request,
        respond: answer => {
          loop.burn(0.008)
          const now = loop.now()
          if (answer === 'ok') answers[Math.floor((now - start) / 1_000)]?.push(now - at)
          send(now + awayMs)
        },
      })
    })
  }
  for (let client = 0; client < clients; client++) send(start + (client * withinMs) / clients)
  loop.run(start + seconds * 1_000)
  return answers
}

/** The loop of the simulator as a runner wants it. */
export function runnerLoop(loop: EventLoop): Loop {
  return {
    clock: loop.clock,
    idleMs: () => loop.idleMs(),
    soon: callback => loop.setImmediate(callback),
  }
}

function behind(
  shedder: Shedder,
  loop: EventLoop,
  work: Work,
  fresh: boolean,
  watch: SimulateOptions['watch'],
): (request: LoopRequest) => void {
  const runner = runnerOf(shedder, runnerLoop(loop))
  return request => {
    if (fresh) runner.connected()
    runner.submit(
      new ShedCall(
        importanceOf(request.criticality),
        request.attempt > 1,
        request.tenant,
        request.route,
        Infinity,
        {
          run: call => {
            watch?.(call, 'begins', loop.now())
            work(request, (ok = true) => {
              request.respond(ok ? 'ok' : 'failed')
              if (ok) call.success(loop.now())
              else call.ignore(loop.now())
            })
          },
          refuse: call => {
            watch?.(call, 'refused', loop.now())
            request.respond('refused')
          },
          get gone() {
            return request.gone
          },
        },
      ),
    )
  }
}

/** What came of a phase, as parts of what could have: all figures that a curve needs. */
export function figures(tally: LoadTally, handler: Handler, seconds: number): Figures {
  return {
    goodput: tally.good / (handler.capacity * seconds),
    served: tally.good / tally.sent,
    refused: tally.refused / tally.sent,
    p50Ms: quantile(tally.latencies, 0.5),
    p99Ms: quantile(tally.latencies, 0.99),
    refusalP50Ms: quantile(tally.refusalLatencies, 0.5),
  }
}

export interface Figures {
  /** Answers in time over capacity. */
  readonly goodput: number
  /** Answers in time over requests. */
  readonly served: number
  readonly refused: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly refusalP50Ms: number
}

export { quantile }

/** What reading and refusing a request costs, and what serving one does, in milliseconds of the loop. */
const refuseMs = 0.02
export const loopMs: Readonly<Record<HandlerName, number>> = {
  cpu: 2.02,
  mixed: 1.02,
  pool: 0.07,
  costMix: 1.97,
  deferred: 2.02,
  post: 1.32,
}

/** The goodput that is left once all others have been refused. */
export function possible(name: HandlerName, load: number): number {
  if (name === 'pool') return 1
  return 1 - ((load - 1) * refuseMs) / loopMs[name]
}
