import { type Criticality, criticalities } from '../core/criticality.ts'
import type { Route } from './route-book.ts'
import type { Refusal, Shedder } from './shedder.ts'

/** What is known of a call before it begins. */
export interface ShedCallOptions {
  /** @default 'critical' */
  readonly criticality?: Criticality | undefined
  /** Whose call it is: under pressure every tenant gets the same. @default nobody's in particular */
  readonly tenant?: string | undefined
  /** What is asked for. What a call costs is learnt route by route. @default all calls are alike */
  readonly route?: string | undefined
  /** When the answer is of no use any more. @default never */
  readonly deadline?: number | undefined
  /** Which try it is. Under pressure second tries come after first ones of the same class. @default 1 */
  readonly attempt?: number | undefined
}

/** What is done with a call once the shedder has spoken; for shedders that queue. */
export interface ShedTask {
  run(call: ShedCall): void
  refuse(call: ShedCall, refusal: Refusal): void
  /** Whether nobody waits for the answer any more. */
  readonly gone: boolean
}

export const noTask: ShedTask = { run() {}, refuse() {}, gone: false }

/**
 * One call as a shedder sees it: what is known of it going in, and the token that says how it came out. Of
 * `success`, `ignore` and `dropped` the first counts, and each does nothing for a call that was not let in.
 */
export class ShedCall {
  /** From 0, the most important class, to 3. */
  readonly importance: number
  readonly again: boolean
  readonly tenant: string | undefined
  readonly route: string | undefined
  readonly deadline: number
  readonly task: ShedTask
  /** @internal The shedder that counts it as in flight. */
  shedder: Shedder | undefined
  /** @internal */
  arrivedAt: number
  /** @internal */
  startedAt: number
  /** @internal How many calls were in flight when it began, itself among them. */
  inFlight: number
  /** @internal How long it is expected to keep the loop busy. */
  costMs: number
  /** @internal What is known of its route. */
  known: Route | undefined
  /** @internal Whether it is one of the first calls of its route. */
  isFirst: boolean

  constructor(
    importance: number,
    again: boolean,
    tenant: string | undefined,
    route: string | undefined,
    deadline: number,
    task: ShedTask,
  ) {
    this.importance = importance
    this.again = again
    this.tenant = tenant
    this.route = route
    this.deadline = deadline
    this.task = task
    this.shedder = undefined
    this.arrivedAt = 0
    this.startedAt = 0
    this.inFlight = 0
    this.costMs = 0
    this.known = undefined
    this.isFirst = false
  }

  /** Whether it counts as in flight now. A call that is let through unasked, or only watched, does not. */
  get counts(): boolean {
    return this.shedder !== undefined
  }

  /** It came out as it should, and the time it took says something about the load. */
  success(now: number): void {
    this.shedder?.settle(this, 'success', now)
  }

  /** It is over, and says nothing about the load: an error, a refusal further in, a cancellation. */
  ignore(now: number): void {
    this.shedder?.settle(this, 'ignore', now)
  }

  /** It was lost to overload: it took too long, or somebody further in had no room for it. */
  dropped(now: number): void {
    this.shedder?.settle(this, 'dropped', now)
  }
}

/** Makes the call that a shedder is asked about, for those who use one without a middleware. */
export function shedCall(options: ShedCallOptions = {}, task: ShedTask = noTask): ShedCall {
  const { criticality, tenant, route, deadline = Infinity, attempt = 1 } = options
  return new ShedCall(importanceOf(criticality), attempt > 1, tenant, route, deadline, task)
}

/** A class that is none, whoever made it up, is that of a call that says nothing. */
export function importanceOf(criticality: Criticality | undefined): number {
  const importance = criticality === undefined ? 1 : criticalities.indexOf(criticality)
  return importance < 0 ? 1 : importance
}
