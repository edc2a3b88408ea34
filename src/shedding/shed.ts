import { gate } from '../core/chain.ts'
import type { Context } from '../core/context.ts'
import type { Gate, Outcome } from '../core/gate.ts'
import type { Protection } from '../core/handler.ts'
import type { Rejection } from '../core/rejection.ts'
import { Adaptive } from './adaptive.ts'
import type { ShedCall } from './call.ts'
import { Door, resultOf, type ShedOptions } from './door.ts'
import { shedInLine } from './shed-in-line.ts'
import type { Shedder, Verdict } from './shedder.ts'

/**
 * Refuses the calls that `shedder` will not have, with the reason `shed`, before any work is done. Whatever goes
 * wrong in deciding lets the call through.
 *
 * A shedder that says at once makes a gate. One with a queue makes a layer, whose calls go on inside a gate.
 */
export function shed<Req = unknown>(shedder: Shedder, options: ShedOptions<Req> = {}): Protection<Req> {
  if (typeof shedder?.offer !== 'function') {
    throw new TypeError('Expected the first argument of shed() to be a shedder, such as adaptive()')
  }
  const door = new Door<Req>(shedder, options)
  return shedder instanceof Adaptive
    ? shedInLine(shedder, door, options.loop)
    : gate<Req, ShedCall | undefined>(new ShedGate(door))
}

class ShedGate<Req> implements Gate<Req, ShedCall | undefined> {
  readonly kind: 'shed'
  readonly name: string
  readonly until: 'work'
  private readonly door: Door<Req>

  constructor(door: Door<Req>) {
    this.kind = 'shed'
    this.name = door.name
    this.until = 'work'
    this.door = door
  }

  admit(request: Req, context: Context, now: number): ShedCall | Rejection | undefined {
    const { door } = this
    const call = door.callFor(request, context)
    if (call === undefined) return undefined
    let verdict: Verdict
    try {
      verdict = door.shedder.offer(call, now)
    } catch (error) {
      door.broken(error)
      return call
    }
    if (verdict !== 'run' && verdict !== 'queued') return door.refuse(call, verdict, context, now)
    door.tell(context, now)
    return call
  }

  settle(call: ShedCall | undefined, outcome: Outcome, now: number): void {
    call?.shedder?.settle(call, resultOf(outcome), now)
  }
}
