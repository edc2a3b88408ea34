/**
 * Calls that wait to begin, shared out among tenants.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996): each tenant has a flow, and the flow with the smallest
 * start tag is served next.
 *
 *   tag    = max(v - CREDIT, finish)      when a call comes to an empty flow; finish, when one follows another
 *   finish = tag + cost + what refusing others of it has cost since it was last served
 *   v      = the tag served last
 *
 * This is max-min fair: a tenant that asks for less than its share gets all it asks for, and what it leaves is
 * shared out among the others. CREDIT lets one that has been quiet catch up a little. One that is new has little:
 * thirty at once would have all others wait for seconds. Without tenants it is a plain queue. Who is refused is
 * decided elsewhere.
 */
import { Heap } from '../internal/heap.ts'
import type { ShedCall } from './call.ts'

/** How far a quiet tenant may run ahead of a busy one, in milliseconds of work. */
const CREDIT_MS = 200
/** For one that nobody knows, in calls such as its first. */
const FIRST_CALLS = 4
/**
 * Tenants remembered, or twice those that wait where they are more. Beyond it those with nothing waiting are
 * forgotten, and their credit with them.
 */
const MAX_FLOWS = 1_024

const sooner = (a: Flow, b: Flow): boolean => a.tag < b.tag

/** The waiting calls of one tenant. */
class Flow {
  oldest: Waiting | undefined
  newest: Waiting | undefined
  workMs: number
  tag: number
  finish: number
  /** What refusing its calls has cost since it was last served. */
  refusedMs: number
  /** Whether it stands in the order. One whose calls have all gone stays there until its turn comes. */
  held: boolean
  /** Its place among those that have something waiting. */
  place: number

  constructor(finish: number) {
    this.oldest = undefined
    this.newest = undefined
    this.workMs = 0
    this.tag = 0
    this.finish = finish
    this.refusedMs = 0
    this.held = false
    this.place = 0
  }
}

/** A call in its place: in the order of arrival of its lane and in that of its flow. */
class Waiting {
  readonly call: ShedCall
  readonly flow: Flow
  older: Waiting | undefined
  newer: Waiting | undefined
  olderInFlow: Waiting | undefined
  newerInFlow: Waiting | undefined

  constructor(call: ShedCall, flow: Flow, older: Waiting | undefined) {
    this.call = call
    this.flow = flow
    this.older = older
    this.newer = undefined
    this.olderInFlow = flow.newest
    this.newerInFlow = undefined
  }
}

export class Lane {
  size: number
  /** The cost of all that waits. */
  workMs: number
  private flows: Map<string | undefined, Flow>
  private order: Heap<Flow>
  /** The flows that have something waiting. */
  private readonly active: Flow[]
  private virtual: number
  private first: Waiting | undefined
  private last: Waiting | undefined

  constructor() {
    this.size = 0
    this.workMs = 0
    this.flows = new Map()
    this.order = new Heap(sooner)
    this.active = []
    this.virtual = 0
    this.first = undefined
    this.last = undefined
  }

  /** The call that has waited longest. */
  get oldest(): ShedCall | undefined {
    return this.first?.call
  }

  push(call: ShedCall): void {
    const flow = this.flowOf(call)
    const waiting = new Waiting(call, flow, this.last)
    if (this.last === undefined) this.first = waiting
    else this.last.newer = waiting
    this.last = waiting
    if (flow.newest === undefined) {
      flow.oldest = waiting
      flow.place = this.active.push(flow) - 1
      this.hold(flow)
    } else flow.newest.newerInFlow = waiting
    flow.newest = waiting
    flow.workMs += call.costMs
    this.workMs += call.costMs
    this.size++
  }

  /** The call whose turn it is. `newestFirst` goes for the tenants that have had their share: the others keep up. */
  peek(newestFirst: boolean): ShedCall | undefined {
    return this.turn(newestFirst)?.call
  }

  /** Removes the call whose turn it is, and charges its tenant. */
  take(newestFirst: boolean): ShedCall | undefined {
    const waiting = this.turn(newestFirst)
    if (waiting === undefined) return undefined
    const { call, flow } = waiting
    this.order.pop()
    flow.held = false
    this.virtual = Math.max(this.virtual, flow.tag)
    flow.finish = flow.tag + call.costMs + flow.refusedMs
    flow.refusedMs = 0
    this.remove(waiting)
    if (flow.newest !== undefined) this.hold(flow)
    return call
  }

  /** Removes the call whose turn it is, and charges nobody: it is not going to begin. */
  skip(newestFirst: boolean): ShedCall | undefined {
    const waiting = this.turn(newestFirst)
    if (waiting !== undefined) this.remove(waiting)
    return waiting?.call
  }

  /** Removes the call that has waited longest. */
  takeOldest(): ShedCall | undefined {
    const waiting = this.first
    if (waiting !== undefined) this.remove(waiting)
    return waiting?.call
  }

  /** Removes the call that has waited longest if it came before `time`; if its tenant has had less than its share, before `ownTime`. */
  takeOlder(time: number, ownTime: number): ShedCall | undefined {
    const waiting = this.first
    if (waiting === undefined) return undefined
    const behind = this.active.length > 1 && waiting.flow.tag < this.virtual
    if (waiting.call.arrivedAt >= (behind ? ownTime : time)) return undefined
    this.remove(waiting)
    return waiting.call
  }

  /**
   * Removes the oldest call of the tenant whose last one would come latest: the one with most waiting, or least credit.
   * `sparing`: none if all that wait have had less than their share. `costMs`: what refusing it costs, for its tenant to pay.
   */
  takeFromLast(sparing: boolean = false, costMs: number = 0): ShedCall | undefined {
    if (this.active.length < 2) return this.takeOldest()
    let last: Flow | undefined
    for (const flow of this.active) {
      if (last === undefined || flow.tag + flow.workMs > last.tag + last.workMs) last = flow
    }
    if (sparing && last!.tag + last!.workMs < this.virtual) return undefined
    const waiting = last!.oldest!
    this.remove(waiting)
    last!.refusedMs = Math.min(CREDIT_MS, last!.refusedMs + costMs)
    return waiting.call
  }

  /** Forgets what tenants have had so far. What waits goes on waiting. */
  reset(): void {
    for (const [tenant, flow] of this.flows) {
      if (flow.newest === undefined && !flow.held) this.flows.delete(tenant)
      else flow.finish = flow.tag
    }
  }

  private turn(newestFirst: boolean): Waiting | undefined {
    for (let flow = this.order.peek(); flow !== undefined; flow = this.order.peek()) {
      if (flow.newest !== undefined) {
        const served = this.active.length === 1 || flow.tag >= this.virtual
        return newestFirst && served ? flow.newest : flow.oldest
      }
      this.order.pop()
      flow.held = false
    }
    return undefined
  }

  private flowOf(call: ShedCall): Flow {
    const { tenant } = call
    let flow = this.flows.get(tenant)
    if (flow !== undefined) return flow
    if (this.flows.size >= Math.max(MAX_FLOWS, 2 * this.active.length)) this.forget()
    flow = new Flow(this.virtual - Math.min(CREDIT_MS, FIRST_CALLS * call.costMs))
    this.flows.set(tenant, flow)
    return flow
  }

  /** Forgets the tenants that wait for nothing. Those that are left are no more than the calls that wait. */
  private forget(): void {
    const order = new Heap(sooner)
    for (const [tenant, flow] of this.flows) {
      if (flow.newest === undefined) this.flows.delete(tenant)
      else order.push(flow)
    }
    this.order = order
  }

  private hold(flow: Flow): void {
    if (flow.held) return
    flow.tag = Math.max(this.virtual - CREDIT_MS, flow.finish)
    flow.held = true
    this.order.push(flow)
  }

  private remove(waiting: Waiting): void {
    const { call, flow, older, newer, olderInFlow, newerInFlow } = waiting
    if (older === undefined) this.first = newer
    else older.newer = newer
    if (newer === undefined) this.last = older
    else newer.older = older
    if (olderInFlow === undefined) flow.oldest = newerInFlow
    else olderInFlow.newerInFlow = newerInFlow
    if (newerInFlow === undefined) flow.newest = olderInFlow
    else newerInFlow.olderInFlow = olderInFlow
    // A place that has become old before it was left is not collected for a long time. With its links it would keep
    // all that came after it, each by the one before: requests by the thousand, which every collection had to copy.
    waiting.older = undefined
    waiting.newer = undefined
    waiting.olderInFlow = undefined
    waiting.newerInFlow = undefined
    this.size--
    // Sums of fractions drift; an empty lane and an empty flow weigh nothing.
    this.workMs = this.size === 0 ? 0 : this.workMs - call.costMs
    if (flow.newest === undefined) {
      flow.workMs = 0
      const last = this.active.pop()!
      if (last !== flow) {
        this.active[flow.place] = last
        last.place = flow.place
      }
    } else flow.workMs -= call.costMs
  }
}
