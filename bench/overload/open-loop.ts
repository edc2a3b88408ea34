/**
 * Clients that do not wait for each other. Requests set out at the times of a Poisson process; latency counts from
 * when a request was meant to set out, so neither a full pool of connections nor a late client hides any of it.
 */
import { Connection, type ConnectionOwner, requestBytes } from './connection.ts'
import {
  BIN_MS,
  CALM_MS,
  type Count,
  FIRST_CONNECTIONS,
  GOOD_MS,
  MAX_CONNECTIONS,
  type OpenLoad,
  type OpenOutcome,
  type PhaseOutcome,
  quantile,
  type RequestKind,
  TIMEOUT_MS,
} from './load.ts'

interface Original {
  readonly at: number
  readonly phase: PhaseRecord
  readonly kind: RequestKind
  readonly bytes: Buffer
  attempts: number
}

interface Attempt {
  readonly original: Original
  readonly at: number
  connection: Connection | undefined
  over: boolean
}

/** Where the requests of a phase are written down. */
class PhaseRecord {
  readonly total: Count = emptyCount()
  readonly by: Record<string, Count> = {}
  readonly latencies: number[] = []
  readonly refusalLatencies: number[] = []
  readonly start: number
  readonly seconds: number
  lastBad = 0

  constructor(start: number, seconds: number) {
    this.start = start
    this.seconds = seconds
  }

  add(label: string, what: keyof Count): void {
    this.total[what]++
    this.by[label] ??= emptyCount()
    this.by[label][what]++
  }

  outcome(): PhaseOutcome {
    return {
      ...this.total,
      seconds: this.seconds,
      by: this.by,
      p50Ms: quantile(this.latencies, 0.5),
      p99Ms: quantile(this.latencies, 0.99),
      refusalP50Ms: quantile(this.refusalLatencies, 0.5),
      refusalP99Ms: quantile(this.refusalLatencies, 0.99),
      lastBadS: this.lastBad === 0 ? 0 : (this.lastBad - this.start) / 1_000,
    }
  }
}

export class OpenLoop implements ConnectionOwner {
  private readonly load: OpenLoad
  private readonly random: () => number
  private readonly kinds: readonly {
    readonly upTo: number
    readonly kind: RequestKind
    readonly bytes: Buffer
  }[]
  private readonly records: PhaseRecord[]
  private readonly goodByBin: number[]
  private readonly lateness: number[]
  /** Free connections, the one used last at the end. */
  private readonly free: Connection[]
  private readonly using: Map<Connection, Attempt>
  private connections: number
  private mostConnections: number
  /** Attempts that wait for a connection, and all by when they set out; what is over is skipped. */
  private readonly waiting: Attempt[]
  private firstWaiting: number
  private readonly started: Attempt[]
  private oldest: number
  private unfinished: number
  private start: number
  private next: number
  private phase: number
  private phaseEnd: number
  /** How many connections have been opened, and who waits for the first of them. */
  private opening: number
  private ready: () => void
  private resolve: ((outcome: OpenOutcome) => void) | undefined

  constructor(load: OpenLoad, random: () => number) {
    this.load = load
    this.random = random
    let upTo = 0
    const total = load.kinds.reduce((sum, { weight }) => sum + weight, 0)
    this.kinds = load.kinds.map(kind => {
      upTo += kind.weight / total
      return { upTo, kind, bytes: requestBytes(kind) }
    })
    this.goodByBin = []
    this.lateness = []
    this.free = []
    this.using = new Map()
    this.connections = 0
    this.mostConnections = 0
    this.waiting = []
    this.firstWaiting = 0
    this.started = []
    this.oldest = 0
    this.unfinished = 0
    this.records = []
    this.opening = 0
    this.ready = () => {}
    this.phase = 0
    this.start = this.phaseEnd = this.next = 0
  }

  async run(): Promise<OpenOutcome> {
    if (this.load.fresh !== true) {
      for (let i = 0; i < FIRST_CONNECTIONS; i++) this.free.push(this.connect()!)
      await new Promise<void>(resolve => {
        this.ready = resolve
      })
    }
    // The server's system has them; the server itself takes a moment more.
    await new Promise(resolve => setTimeout(resolve, 100))
    this.begin()
    return new Promise(resolve => {
      this.resolve = resolve
      this.turn()
    })
  }

  opened(): void {
    if (++this.opening === FIRST_CONNECTIONS) this.ready()
  }

  answered(connection: Connection, status: number): void {
    const attempt = this.using.get(connection)
    if (attempt === undefined) return
    this.using.delete(connection)
    const now = performance.now()
    this.settle(attempt, status, now)
    if (!connection.open) return
    if (this.load.fresh === true) connection.destroy()
    else this.release(connection)
  }

  closed(connection: Connection): void {
    this.connections--
    const attempt = this.using.get(connection)
    if (attempt !== undefined) {
      this.using.delete(connection)
      this.settle(attempt, 0, performance.now())
    }
    const place = this.free.indexOf(connection)
    if (place >= 0) this.free.splice(place, 1)
    const next = this.nextWaiting()
    if (next !== undefined) this.send(next, this.connect()!)
  }

  private begin(): void {
    const { phases } = this.load
    this.start = performance.now() + 10
    let from = this.start
    for (const { seconds } of phases) {
      this.records.push(new PhaseRecord(from, seconds))
      from += seconds * 1_000
    }
    this.phaseEnd = this.start + phases[0]!.seconds * 1_000
    this.next = this.start
    this.draw()
  }

  /** Never waits in poll: a timer would be a millisecond late. */
  private turn(): void {
    const now = performance.now()
    while (this.next <= now) this.setOut(now)
    this.giveUp(now)
    const over = this.next === Infinity && (this.unfinished === 0 || now > this.phaseEnd + GOOD_MS + 50)
    if (over) this.finish()
    else setImmediate(() => this.turn())
  }

  private setOut(now: number): void {
    const x = this.random()
    const { kind, bytes } = this.kinds.find(({ upTo }) => x < upTo) ?? this.kinds.at(-1)!
    const original = { at: this.next, phase: this.records[this.phase]!, kind, bytes, attempts: 0 }
    this.lateness.push(now - this.next)
    original.phase.add(kind.label, 'sent')
    this.unfinished++
    this.draw()
    this.attempt(original, original.at)
  }

  private attempt(original: Original, at: number): void {
    original.attempts++
    const attempt: Attempt = { original, at, connection: undefined, over: false }
    this.started.push(attempt)
    const connection = this.free.pop() ?? this.connect()
    if (connection === undefined) this.waiting.push(attempt)
    else this.send(attempt, connection)
  }

  private connect(): Connection | undefined {
    if (this.connections >= MAX_CONNECTIONS) return undefined
    this.connections++
    this.mostConnections = Math.max(this.mostConnections, this.connections)
    return new Connection(this.load.port, this)
  }

  private send(attempt: Attempt, connection: Connection): void {
    attempt.connection = connection
    this.using.set(connection, attempt)
    connection.send(attempt.original.bytes)
  }

  private release(connection: Connection): void {
    const attempt = this.nextWaiting()
    if (attempt === undefined) this.free.push(connection)
    else this.send(attempt, connection)
  }

  /** The attempt that has waited for a connection longest. */
  private nextWaiting(): Attempt | undefined {
    while (this.firstWaiting < this.waiting.length) {
      const attempt = this.waiting[this.firstWaiting++]!
      if (!attempt.over) return attempt
    }
    this.waiting.length = this.firstWaiting = 0
    return undefined
  }

  private giveUp(now: number): void {
    for (; this.oldest < this.started.length; this.oldest++) {
      const attempt = this.started[this.oldest]!
      if (attempt.over) continue
      if (now - attempt.at <= TIMEOUT_MS) return
      const { connection } = attempt
      if (connection !== undefined) {
        this.using.delete(connection)
        connection.destroy()
      }
      this.settle(attempt, 0, now)
    }
  }

  /** `status` 0: there was no answer. */
  private settle(attempt: Attempt, status: number, now: number): void {
    attempt.over = true
    const { original } = attempt
    const { phase, kind } = original
    if (status === 503) phase.refusalLatencies.push(now - attempt.at)
    if (status !== 200 && original.attempts <= this.load.retries && this.resolve !== undefined) {
      this.attempt(original, now)
      return
    }
    this.unfinished--
    const latency = now - original.at
    const good = status === 200 && latency <= GOOD_MS
    if (status === 200) {
      phase.add(kind.label, 'served')
      phase.latencies.push(latency)
    } else phase.add(kind.label, status === 503 ? 'refused' : 'lost')
    if (good) {
      phase.add(kind.label, 'good')
      const bin = Math.floor((now - this.start) / BIN_MS)
      this.goodByBin[bin] = (this.goodByBin[bin] ?? 0) + 1
    }
    if (!(good && latency <= CALM_MS)) phase.lastBad = Math.max(phase.lastBad, original.at)
  }

  private finish(): void {
    const { resolve } = this
    this.resolve = undefined
    const now = performance.now()
    for (const attempt of this.started) {
      if (!attempt.over) this.settle(attempt, 0, now)
    }
    for (const connection of [...this.using.keys(), ...this.free]) connection.destroy()
    this.using.clear()
    const bins = Math.ceil((this.phaseEnd - this.start) / BIN_MS)
    resolve!({
      phases: this.records.map(record => record.outcome()),
      goodByBin: Array.from({ length: bins }, (_, bin) => this.goodByBin[bin] ?? 0),
      lateP99Ms: quantile(this.lateness, 0.99),
      connections: this.mostConnections,
    })
  }

  /** Draws when the next request sets out. */
  private draw(): void {
    const { phases } = this.load
    for (let from = this.next; ; ) {
      this.next = from - (Math.log(1 - this.random()) / phases[this.phase]!.ratePerSecond) * 1_000
      if (this.next < this.phaseEnd) return
      if (this.phase === phases.length - 1) break
      from = this.phaseEnd
      this.phase++
      this.phaseEnd += phases[this.phase]!.seconds * 1_000
    }
    this.next = Infinity
  }
}

function emptyCount(): Count {
  return { sent: 0, good: 0, served: 0, refused: 0, lost: 0 }
}
