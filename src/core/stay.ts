/**
 * Where a call stands: its context, and the scopes that the gates it has passed have opened.
 *
 * Most calls are over before anybody looks at the scope that a deadline has given them, so that one is left out. The
 * call itself hangs in its place: in the clock, and in the scope further out. When somebody asks the context for the
 * scope the call gives way to it, and from then on all is as if the scope had been there from the start.
 *
 * These are functions, and not the class that a frame is made from, because a constructor that calls another one
 * costs every call.
 */
import type { Alarm } from './clock.ts'
import type { Context, StandIn } from './context.ts'
import { deadlineExceeded } from './rejection.ts'
import type { Step } from './row.ts'
import { type Expiry, Scope } from './scope.ts'
import type { Watcher } from './watcher.ts'

/** A gate that replaced the context: from there on inward the call is part of another scope. */
interface Entry {
  readonly at: number
  readonly scope: Scope
  readonly outer: Entry | undefined
}

export interface Stay extends Watcher, Alarm, StandIn {
  context: Context
  /** What the call came with. */
  readonly outer: Scope
  /** The last gate that opened a scope, which is that of `context`; -1 for none. */
  entered: number
  /** The gates before it that did. */
  entries: Entry | undefined
  /** The gate whose scope the call stands in for. */
  standsFor: Step | undefined
}

/**
 * To make a scope late costs more than to make it at once. Where somebody has asked for one, so many further calls
 * are given theirs at once.
 */
const CALLS_AFTER_LOOK = 16

export function arrive(stay: Stay): void {
  const { context, outer } = stay
  if (outer.endless) return
  if (outer.loose) {
    // Nobody would close the scope that the call came with, so it is given one of its own.
    stay.context = context.within(new Scope(outer.clock, outer, outer.deadline, timedOut, undefined))
    stay.entered = 0
  }
  stay.context.scope.watch(stay)
}

/** Goes on with the context that a gate made of the present one. False if that has ended already. */
export function enter(stay: Stay, context: Context, at: number, step: Step): boolean {
  const from = stay.context.scope
  if (!context.isPartOf(from)) {
    const { name } = step.gate
    throw new TypeError(`Expected narrow() of ${name} to derive its context from the one it was given`)
  }
  const leavesOut = step.looks === 0 && context.unmadeBelow(from)
  if (!leavesOut && context.scope === from) {
    stay.context = context
    return true
  }
  if (stay.entered >= 0) stay.entries = { at: stay.entered, scope: from, outer: stay.entries }
  stay.entered = at
  stay.context = context
  if (leavesOut) {
    stay.standsFor = step
    context.boundedBy(stay)
    from.requeue(stay)
    from.clock.arm(stay, context.deadline)
    return true
  }
  if (step.looks > 0) step.looks--
  const { scope } = context
  if (scope.ending !== undefined) {
    from.unwatch(stay)
    return false
  }
  from.handOver(stay, scope)
  return true
}

/** The scope that was left out has been made. */
export function giveWay(stay: Stay, scope: Scope): void {
  stay.standsFor!.looks = CALLS_AFTER_LOOK
  stay.standsFor = undefined
  scope.replace(stay)
}

/** The call has been told that a scope has ended: with it the one that was left out. */
export function told(stay: Stay): void {
  if (stay.standsFor !== undefined) stepBack(stay)
}

/** From which gate on inward the scope has ended. */
export function endedFrom(stay: Stay): number {
  let at = 0
  if (stay.entered >= 0 && stay.context.ending !== undefined) {
    at = stay.entered
    for (let entry = stay.entries; entry?.scope.ending !== undefined; entry = entry.outer) at = entry.at
  }
  return stay.outer.ending === undefined ? at : 0
}

/** The call is over: it leaves its scope, and closes those that the gates have opened. */
export function depart(stay: Stay): void {
  if (stay.standsFor !== undefined) stepBack(stay)
  const scope = stay.context.innermost
  if (scope.endless) return
  for (let own = scope; own !== stay.outer; own = own.parent!) own.close()
  scope.unwatch(stay)
}

function stepBack(stay: Stay): void {
  stay.standsFor = undefined
  stay.context.clock.disarm(stay)
  stay.context.boundedBy(gone)
}

/** A scope that is asked for when the call has ended was closed with it, unless it finds that it had ended before. */
const gone: StandIn = { standsFor: undefined, giveWay: scope => scope.close() }

const timedOut: Expiry = () => deadlineExceeded('context', true)
