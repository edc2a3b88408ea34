import { FirstCalls } from './first-calls.ts'

/** The weight of a new measurement of a cost, once there are enough for a mean of all. */
const COST_WEIGHT = 0.02
/** What took longer than so many calls is no call any more: a collection, or a process that had to wait for its turn. */
const MOST_CALLS = 10
/** A call whose cost nobody knows yet is taken to be a light one: what is wrong with that shows at once. */
const UNKNOWN_COST_MS = 0.1
const MIN_COST_MS = 0.01
/** How many calls make the first idea of a route's time. */
const FIRST_CALLS = 10
/** How long their end is waited for: a second, or ten times what those took that have ended. */
const FIRST_MS = 1_000
const FIRST_TIMES = 10
/** How much of the difference a window moves the base, to calls that got faster and to calls that got slower. */
const DOWN = 0.3
const UP = 0.1
/** The most that the base rises, for each second. */
const MAX_RISE_PER_SECOND = 0.02
const MAX_ROUTES = 256

/** What is known of the calls of one route. */
export class Route {
  /** How long one keeps the loop busy. */
  costMs: number
  /** How long one takes when nothing is in its way; `NaN` while unknown. */
  baseMs: number
  private measured: number
  private count: number
  private sumMs: number
  /** The first few calls; nothing once the base is known. */
  private first: FirstCalls | undefined
  /** How many more calls are to be among them, and when the first of them began. */
  private wanted: number
  private firstAt: number

  constructor() {
    this.costMs = UNKNOWN_COST_MS
    this.baseMs = Number.NaN
    this.measured = 0
    this.count = 0
    this.sumMs = 0
    this.first = new FirstCalls()
    this.wanted = FIRST_CALLS
    this.firstAt = Number.NaN
  }

  learnCost(ms: number): void {
    this.measured++
    const weight = Math.max(COST_WEIGHT, 1 / this.measured)
    const most = this.measured > FIRST_CALLS ? MOST_CALLS * this.costMs : Infinity
    this.costMs = Math.max(MIN_COST_MS, this.costMs + weight * (Math.min(ms, most) - this.costMs))
  }

  /**
   * A call begins; whether it is one of the first. Those are the first to begin and not the first to end: of calls
   * that began together the first to end are the quickest.
   */
  begin(now: number): boolean {
    if (this.wanted === 0) return false
    this.wanted--
    if (Number.isNaN(this.firstAt)) this.firstAt = now
    return true
  }

  /** One of the first came to nothing: the next to begin takes its place. */
  missed(): void {
    if (this.first !== undefined) this.wanted++
  }

  /** Whether with this call the base is known, and the first have queued. */
  learnTime(ms: number, inFlight: number, isFirst: boolean, now: number): boolean {
    this.count++
    this.sumMs += ms
    const { first } = this
    if (first === undefined) return false
    if (isFirst) first.add(ms, inFlight)
    const meanMs = this.sumMs / this.count
    const late = now - this.firstAt > Math.max(FIRST_MS, FIRST_TIMES * meanMs)
    if (first.calls < FIRST_CALLS && !(late && this.count >= FIRST_CALLS)) return false
    this.baseMs = first.calls === 0 ? meanMs : first.baseMs
    this.first = undefined
    this.wanted = 0
    return first.queued
  }

  /**
   * Ends a window of `ms`. The base follows calls that got faster. Calls that got slower it follows at a snail's
   * pace, and only while nothing `held` them: or a load that grows slowly would be taken for how things are.
   */
  closeWindow(ms: number, held: boolean): void {
    if (this.count === 0) return
    const change = this.sumMs / this.count - this.baseMs
    if (change < 0) this.baseMs += DOWN * change
    else if (!held && change > 0) {
      this.baseMs += Math.min(UP * change, ((MAX_RISE_PER_SECOND * ms) / 1_000) * this.baseMs)
    }
    if (!Number.isNaN(this.baseMs)) this.count = this.sumMs = 0
  }
}

/** What is known of each route. Past the first 256 all others count as one. */
export class RouteBook {
  private readonly routes: Map<string | undefined, Route>
  private lastName: string | undefined
  private last: Route | undefined

  constructor() {
    this.routes = new Map()
    this.lastName = undefined
    this.last = undefined
  }

  get size(): number {
    return this.routes.size
  }

  get(name: string | undefined): Route {
    if (name === this.lastName && this.last !== undefined) return this.last
    const route = this.routes.get(name) ?? this.add(name)
    this.lastName = name
    this.last = route
    return route
  }

  all(): Iterable<Route> {
    return this.routes.values()
  }

  /** What is known, by name; calls without a route under the empty name. */
  snapshot(): Record<string, { readonly costMs: number; readonly baseMs: number }> {
    return Object.fromEntries(
      Array.from(this.routes, ([name = '', { costMs, baseMs }]) => [name, { costMs, baseMs }]),
    )
  }

  reset(): void {
    this.routes.clear()
    this.last = undefined
  }

  private add(name: string | undefined): Route {
    if (this.routes.size >= MAX_ROUTES) {
      name = undefined
      const rest = this.routes.get(name)
      if (rest !== undefined) return rest
    }
    const route = new Route()
    this.routes.set(name, route)
    return route
  }
}
