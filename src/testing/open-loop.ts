/**
 * Clients that do not wait for each other, in front of an `eventLoop()`.
 *
 * Requests set out at the times of a Poisson process, whatever became of the ones before, and latency counts from
 * when a request was meant to set out. (Clients that wait for an answer before they send again slow down with the
 * server, and so can never overload it.) A client gives up after `timeoutMs`; the server learns of that, as of
 * everything, in its next poll.
 */
import type { Criticality } from '../core/criticality.ts'
import { numberOption } from '../core/options.ts'
import type { EventLoop, LoopSource } from './event-loop.ts'
import { emptyTally, type LoadReport, type LoadTally, type Traits } from './load-report.ts'

export interface LoadPhase {
  readonly ratePerSecond: number
  readonly seconds: number
}

export interface OpenLoopOptions {
  readonly phases: readonly LoadPhase[]
  /** Draws the traits of each request. @default none */
  readonly traits?: (random: () => number) => Traits
  /**
   * How many connections the clients keep open; a request that finds none free fails. `'fresh'` opens one for
   * each request.
   * @default 512
   */
  readonly connections?: number | 'fresh'
  /** When a client gives up. @default 1_000 */
  readonly timeoutMs?: number
  /** An answer that took longer is no good to anybody. @default 200 */
  readonly goodMs?: number
  /** How often a client tries again after a refusal or a timeout. @default 0 */
  readonly retries?: number
  /** How long it waits before that, given how many attempts there were. @default at once */
  readonly backoffMs?: (attempts: number, random: () => number) => number
  /** @default Math.random */
  readonly random?: () => number
  /** What reading and parsing a request keeps the loop busy for. @default 0.012 */
  readonly readMs?: number
  /** What writing an answer keeps the loop busy for. @default 0.008 */
  readonly writeMs?: number
  /** What accepting a connection keeps the loop busy for. @default 0.02 */
  readonly acceptMs?: number
}

/** One attempt at a request, as the server sees it. */
export interface LoopRequest extends Required<Omit<Traits, 'tenant'>> {
  readonly tenant: string | undefined
  /** From 1. */
  readonly attempt: number
  /** Whether the client has hung up, as far as the server has noticed. */
  readonly gone: boolean
  /** Answers; later calls do nothing. */
  respond(answer: 'ok' | 'refused' | 'failed'): void
}

interface Original {
  readonly at: number
  readonly phase: number
  readonly traits: Traits
  attempts: number
  answeredAt: number
  refused: number
  failed: number
}

/** Lets the load of `options` loose on `serve` and runs the loop to its end. */
export function openLoop(
  loop: EventLoop,
  options: OpenLoopOptions,
  serve: (request: LoopRequest) => void,
): LoadReport {
  const clients = new Clients(loop, options, serve)
  loop.feed(clients)
  loop.run(clients.end + 1_500)
  return clients.report()
}

interface Attempt {
  readonly original: Original
  readonly at: number
}

class Clients implements LoopSource {
  readonly end: number
  private readonly loop: EventLoop
  private readonly options: Required<OpenLoopOptions>
  private readonly serve: (request: LoopRequest) => void
  private readonly start: number
  private readonly originals: Original[] = []
  private readonly refusalLatencies: { readonly original: Original; readonly ms: number }[] = []
  /** When each free connection became free, the earliest first. */
  private readonly free: number[] = []
  private readonly retries: Attempt[] = []
  private phase = 0
  private phaseEnd: number
  private next: number

  constructor(loop: EventLoop, options: OpenLoopOptions, serve: (request: LoopRequest) => void) {
    this.loop = loop
    this.serve = serve
    this.options = {
      phases: options.phases,
      traits: options.traits ?? (() => ({})),
      connections: options.connections ?? 512,
      timeoutMs: numberOption('timeoutMs', options.timeoutMs ?? 1_000, { min: 0, above: true }),
      goodMs: numberOption('goodMs', options.goodMs ?? 200, { min: 0, above: true }),
      retries: numberOption('retries', options.retries ?? 0, { min: 0, integer: true }),
      backoffMs: options.backoffMs ?? (() => 0),
      random: options.random ?? Math.random,
      readMs: numberOption('readMs', options.readMs ?? 0.012, { min: 0 }),
      writeMs: numberOption('writeMs', options.writeMs ?? 0.008, { min: 0 }),
      acceptMs: numberOption('acceptMs', options.acceptMs ?? 0.02, { min: 0 }),
    }
    this.start = loop.now()
    if (this.options.connections !== 'fresh') {
      for (let i = 0; i < this.options.connections; i++) this.free.push(this.start)
    }
    this.end = this.start + options.phases.reduce((sum, { seconds }) => sum + seconds * 1_000, 0)
    this.phaseEnd = this.start + (options.phases[0]?.seconds ?? 0) * 1_000
    this.next = this.start
    this.draw()
  }

  nextAt(): number {
    return Math.min(this.next, this.retries[0]?.at ?? Infinity)
  }

  send(now: number): void {
    for (let at = this.nextAt(); at <= now; at = this.nextAt()) {
      if (at === this.retries[0]?.at) {
        this.attempt(this.retries.shift()!)
        continue
      }
      const original: Original = {
        at,
        phase: this.phase,
        traits: this.options.traits(this.options.random),
        attempts: 0,
        answeredAt: Infinity,
        refused: 0,
        failed: 0,
      }
      this.originals.push(original)
      this.draw()
      this.attempt({ original, at })
    }
  }

  report(): LoadReport {
    const { originals, options } = this
    const seconds: LoadTally[] = []
    const phases: LoadTally[] = options.phases.map(emptyTally)
    for (const original of originals) {
      const second = Math.floor((original.at - this.start) / 1_000)
      while (seconds.length <= second) seconds.push(emptyTally())
      this.count(seconds[second]!, original)
      this.count(phases[original.phase]!, original)
    }
    for (const { original, ms } of this.refusalLatencies) phases[original.phase]!.refusalLatencies.push(ms)
    return {
      phases,
      seconds,
      by: (phase, label) => {
        const tallies = new Map<string, LoadTally>()
        for (const original of originals) {
          if (original.phase !== phase) continue
          const name = label(original.traits)
          const tally = tallies.get(name) ?? emptyTally()
          tallies.set(name, tally)
          this.count(tally, original)
        }
        return tallies
      },
    }
  }

  private count(tally: LoadTally, original: Original): void {
    tally.sent++
    tally.refused += original.refused
    tally.failed += original.failed
    if (original.answeredAt === Infinity) return
    const latency = original.answeredAt - original.at
    tally.answered++
    tally.latencies.push(latency)
    if (latency <= this.options.goodMs) tally.good++
  }

  /** Draws when the next request sets out. */
  private draw(): void {
    const { phases, random } = this.options
    for (let from = this.next; this.phase < phases.length; ) {
      this.next = from - (Math.log(1 - random()) / phases[this.phase]!.ratePerSecond) * 1_000
      if (this.next < this.phaseEnd) return
      from = this.phaseEnd
      this.phase++
      this.phaseEnd += (phases[this.phase]?.seconds ?? 0) * 1_000
    }
    this.next = Infinity
  }

  private attempt({ original, at }: Attempt): void {
    original.attempts++
    const { loop, options } = this
    const request = new ClientRequest(this, original, at)
    if (options.connections === 'fresh') {
      loop.connect(at, () => {
        loop.burn(options.acceptMs)
        loop.readable(at, () => request.arrive())
        loop.readable(at + options.timeoutMs, () => request.giveUp())
      })
      return
    }
    if ((this.free[0] ?? Infinity) > at) {
      this.failed(original, at)
      return
    }
    this.free.shift()
    loop.readable(at, () => request.arrive())
    loop.readable(at + options.timeoutMs, () => request.giveUp())
  }

  /** @internal */
  arrived(request: ClientRequest): void {
    this.loop.burn(this.options.readMs)
    this.serve(request)
  }

  /** @internal */
  answered(request: ClientRequest, answer: 'ok' | 'refused' | 'failed'): void {
    const { loop, options } = this
    loop.burn(options.writeMs)
    const now = loop.now()
    if (options.connections !== 'fresh') this.free.push(now)
    const { original } = request
    if (answer === 'ok') {
      // A client that has given up hears nothing, even if the server has not noticed yet.
      if (now - request.at < options.timeoutMs) original.answeredAt = now
      return
    }
    if (answer === 'refused') {
      original.refused++
      this.refusalLatencies.push({ original, ms: now - request.at })
    } else original.failed++
    this.retry(original, now)
  }

  /** @internal */
  failed(original: Original, now: number): void {
    original.failed++
    this.retry(original, now)
  }

  /** @internal */
  gaveUp(request: ClientRequest): void {
    // The client's end was closed when its time was up, so a new connection has long taken the old one's place.
    const at = request.at + this.options.timeoutMs
    if (this.options.connections !== 'fresh') {
      this.free.push(at)
      this.free.sort((a, b) => a - b)
    }
    this.failed(request.original, at)
  }

  private retry(original: Original, now: number): void {
    const { retries, backoffMs, random } = this.options
    if (original.attempts > retries) return
    const at = now + backoffMs(original.attempts, random)
    const place = this.retries.findLastIndex(other => other.at <= at)
    this.retries.splice(place + 1, 0, { original, at })
  }
}

class ClientRequest implements LoopRequest {
  readonly original: Original
  readonly at: number
  readonly route: string
  readonly criticality: Criticality
  readonly tenant: string | undefined
  readonly attempt: number
  gone: boolean
  private readonly clients: Clients
  private over: boolean

  constructor(clients: Clients, original: Original, at: number) {
    this.clients = clients
    this.original = original
    this.at = at
    this.route = original.traits.route ?? '/'
    this.criticality = original.traits.criticality ?? 'critical'
    this.tenant = original.traits.tenant
    this.attempt = original.attempts
    this.gone = false
    this.over = false
  }

  arrive(): void {
    this.clients.arrived(this)
  }

  giveUp(): void {
    if (this.over) return
    this.over = true
    this.gone = true
    this.clients.gaveUp(this)
  }

  respond(answer: 'ok' | 'refused' | 'failed'): void {
    if (this.over) return
    this.over = true
    this.clients.answered(this, answer)
  }
}
