import { layer } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Handler } from '../core/handler.ts'
import { type Mechanism, register } from '../core/mechanism.ts'
import { functionOption, knownOptions, nameOption, numberOption } from '../core/options.ts'
import { announceSettings } from '../core/settings.ts'
import { type Operated, operated } from '../internal/operated.ts'
import { Flight } from './flight.ts'
import { type KeyOf, underKey } from './under-key.ts'

export interface SingleflightOptions<Req = unknown, Res = unknown> {
  /**
   * Calls with the same key get the same answer, so everything that the answer depends on belongs in it: the user
   * and the tenant too, where they matter. `undefined` for a call that is not to be shared.
   */
  readonly key: (request: Req, context: Context) => string | undefined
  /** A call that has been going on for longer is not joined. @default Infinity */
  readonly maxAgeMs?: number
  /** How many calls can be going on to be joined. Past that, a call is made for its caller alone. @default 10000 */
  readonly maxFlights?: number
  /** Makes the answer for each caller but the first. @default all get the same object, and none should change it */
  readonly copy?: (answer: Res) => Res
  /** @default 'singleflight' */
  readonly name?: string
}

type Changes = Pick<SingleflightOptions, 'maxAgeMs' | 'maxFlights'>

export interface SingleflightSnapshot extends Required<Changes> {
  /** Calls going on that can be joined. */
  readonly flights: number
  /** Callers that wait for them. */
  readonly waiting: number
  /** Calls made. */
  readonly started: number
  /** Callers that joined a call that was going on. */
  readonly joined: number
  /** Callers whose call was made for them alone, because there were too many flights. */
  readonly alone: number
}

export interface Singleflight<Req = unknown, Res = unknown>
  extends Operated<Changes, SingleflightSnapshot, Req, Res> {
  /** The next call for `key` is made anew, whatever is going on. Those who wait get what they wait for. */
  forget(key: string): void
}

/**
 * Makes one call for all who ask for the same thing at the same time. Each caller may leave by itself; the call is
 * cancelled when the last has gone, and has until the latest of their deadlines. Failures are shared and not kept.
 *
 * A flight carries the criticality, tenant and typed keys of the caller that it was started for.
 */
export function singleflight<Req = unknown, Res = unknown>(
  options: SingleflightOptions<Req, Res>,
): Singleflight<Req, Res> {
  const flights = register(new Flights(options))
  const protection = layer<Req, Res>(
    { kind: 'cache', name: flights.name, repeats: true },
    <Q extends Req, S extends Res>(next: Handler<Q, S>): Handler<Q, S> => {
      // Two handlers behind the same middleware have nothing to share.
      const table: Table<S> = new Map()
      return underKey(flights.key, next, (key, request, context) =>
        flights.call(table, next, key, request, context),
      )
    },
  )
  return operated(protection, flights, { forget: (key: string) => flights.forget(key) })
}

type Table<Res> = Map<string, Flight<Res>>

class Flights<Req, Res> implements Mechanism<Changes, SingleflightSnapshot> {
  readonly kind: string = 'singleflight'
  readonly name: string
  readonly key: KeyOf<Req>
  private readonly copy: ((answer: any) => any) | undefined
  /** The tables that have anything in them. */
  private readonly tables: Set<Table<any>>
  private maxAgeMs: number
  private maxFlights: number
  private flights: number
  private started: number
  private joined: number
  private alone: number

  constructor(options: SingleflightOptions<Req, Res>) {
    knownOptions('singleflight', options, ['key', 'maxAgeMs', 'maxFlights', 'copy', 'name'])
    this.name = nameOption('name', options.name ?? 'singleflight')
    this.key = functionOption('key', options.key)
    this.copy = options.copy === undefined ? undefined : functionOption('copy', options.copy)
    this.tables = new Set()
    this.maxAgeMs = 0
    this.maxFlights = 0
    this.flights = 0
    this.started = 0
    this.joined = 0
    this.alone = 0
    this.set(options.maxAgeMs ?? Infinity, options.maxFlights ?? 10_000)
  }

  call<Q extends Req, S extends Res>(
    table: Table<S>,
    next: Handler<Q, S>,
    key: string,
    request: Q,
    context: Context,
  ): Promise<S> {
    const now = context.clock.now()
    const held = table.get(key)
    if (held !== undefined && now - held.startedAt <= this.maxAgeMs) {
      this.joined++
      return held.join(context, this.copy)
    }
    if (held !== undefined) this.remove(table, key)
    if (this.flights >= this.maxFlights) {
      this.alone++
      return next(request, context)
    }
    const flight = new Flight(this.name, request, context, now, next, landed => {
      if (table.get(key) === landed) this.remove(table, key)
    })
    // A handler that asks for what it is about to answer has started a flight of its own meanwhile.
    this.remove(table, key)
    this.started++
    this.flights++
    table.set(key, flight)
    this.tables.add(table)
    return flight.join(context, undefined)
  }

  forget(key: string): void {
    for (const table of this.tables) this.remove(table, key)
  }

  update(changes: Partial<Changes>): void {
    knownOptions('singleflight', changes, ['maxAgeMs', 'maxFlights'])
    this.set(changes.maxAgeMs ?? this.maxAgeMs, changes.maxFlights ?? this.maxFlights)
    announceSettings(this, changes)
  }

  snapshot(): SingleflightSnapshot {
    let waiting = 0
    for (const table of this.tables) for (const flight of table.values()) waiting += flight.waiters
    const { maxAgeMs, maxFlights, flights, started, joined, alone } = this
    return { maxAgeMs, maxFlights, flights, waiting, started, joined, alone }
  }

  reset(): void {
    this.started = 0
    this.joined = 0
    this.alone = 0
  }

  private set(maxAgeMs: number, maxFlights: number): void {
    numberOption('maxAgeMs', maxAgeMs, { min: 0, infinite: true })
    numberOption('maxFlights', maxFlights, { min: 0, integer: true })
    this.maxAgeMs = maxAgeMs
    this.maxFlights = maxFlights
  }

  private remove(table: Table<any>, key: string): void {
    if (!table.delete(key)) return
    this.flights--
    if (table.size === 0) this.tables.delete(table)
  }
}
