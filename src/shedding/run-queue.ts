/**
 * The order in which calls that wait begin.
 *
 *   class    the most important first; each class that waits is owed `floorRatio` of the work all the same
 *   try      first tries before second ones
 *   tenant   shared out fairly, see `Lane`
 *   call     the oldest first; where a queue stands, the newest
 *
 * Once a queue stands somebody in it will be refused. Serving the newest gives an answer in time to all that are
 * served; serving the oldest would make everybody wait for as long as can just be borne.
 */
import type { AdaptiveSnapshot } from './adaptive-options.ts'
import type { ShedCall } from './call.ts'
import { Lane } from './lane.ts'

export const CLASSES = 4
/** The most work that a class is owed, unless the call that it wants to begin is more. */
const MAX_OWED_MS = 20

/** How long it takes to read a call and refuse it, about. */
const REFUSAL_MS = 0.03

/** The waiting calls of one class. */
export class ClassQueue {
  readonly first: Lane
  readonly again: Lane
  /** Whether its queue stands. */
  stands: boolean
  /** What it is owed of its floor. */
  owedMs: number
  /** What the call that came last costs. */
  private lastCostMs: number

  constructor() {
    this.first = new Lane()
    this.again = new Lane()
    this.stands = false
    this.owedMs = 0
    this.lastCostMs = 0
  }

  get size(): number {
    return this.first.size + this.again.size
  }

  get workMs(): number {
    return this.first.workMs + this.again.workMs
  }

  /** When the call that has waited longest came. */
  get oldestAt(): number {
    return Math.min(this.first.oldest?.arrivedAt ?? Infinity, this.again.oldest?.arrivedAt ?? Infinity)
  }

  /** The lane that the next call comes from: first tries before second ones. */
  private get lane(): Lane {
    return this.first.size > 0 ? this.first : this.again
  }

  /** The call that is to begin next. */
  get next(): ShedCall | undefined {
    return this.lane.peek(this.stands)
  }

  /** Whether it has been passed over for long enough to have its next call served. */
  get isOwed(): boolean {
    return this.owedMs > 0 && this.owedMs >= this.next!.costMs
  }

  push(call: ShedCall): void {
    this.laneOf(call).push(call)
    this.lastCostMs = call.costMs
  }

  laneOf(call: ShedCall): Lane {
    return call.again ? this.again : this.first
  }

  take(): ShedCall | undefined {
    return this.lane.take(this.stands)
  }

  skip(): ShedCall | undefined {
    return this.lane.skip(this.stands)
  }

  /** Others had `ms` of work: a class that could never save up what its calls cost would never be served. */
  passedOver(ms: number, floorRatio: number): void {
    const most = Math.max(MAX_OWED_MS, this.lastCostMs, this.next?.costMs ?? 0)
    this.owedMs = Math.min(most, this.owedMs + floorRatio * ms)
  }

  served(ms: number): void {
    this.owedMs = Math.max(0, this.owedMs - ms)
  }
}

export class RunQueue {
  size: number
  readonly classes: readonly ClassQueue[]
  private floorRatio: number

  constructor(floorRatio: number) {
    this.size = 0
    this.classes = Array.from({ length: CLASSES }, () => new ClassQueue())
    this.floorRatio = floorRatio
  }

  setFloor(floorRatio: number): void {
    this.floorRatio = floorRatio
  }

  /** When the call that has waited longest came. */
  get oldestAt(): number {
    let oldestAt = Infinity
    for (const queue of this.classes) oldestAt = Math.min(oldestAt, queue.oldestAt)
    return oldestAt
  }

  /** Whether the queue of a class, or of one that matters more, stands: then this one cannot hope for more than its floor. */
  standsFor(importance: number): boolean {
    for (let k = 0; k <= importance; k++) if (this.classes[k]!.stands) return true
    return false
  }

  snapshot(): Pick<AdaptiveSnapshot, 'queued' | 'queuedWorkMs' | 'standing'> {
    return {
      queued: this.size,
      queuedWorkMs: this.classes.reduce((sum, own) => sum + own.workMs, 0),
      standing: this.classes.map(own => own.stands),
    }
  }

  /** No queue stands any more. */
  calm(): void {
    for (const own of this.classes) own.stands = false
  }

  push(call: ShedCall): void {
    this.classes[call.importance]!.push(call)
    this.size++
  }

  /** The call that is to begin next. */
  peek(): ShedCall | undefined {
    return this.turn()?.next
  }

  /** Removes the call that is to begin next, and charges its class and its tenant. */
  take(): ShedCall | undefined {
    const { classes, floorRatio } = this
    const chosen = this.turn()
    const call = this.removed(chosen?.take())
    if (call === undefined) return undefined
    // More than its floor is left to it: those that matter more have nothing waiting, and lack nothing.
    if (chosen!.owedMs < call.costMs) for (let k = 0; k < call.importance; k++) classes[k]!.stands = false
    for (const queue of classes) {
      if (queue === chosen) queue.served(call.costMs)
      else queue.passedOver(call.costMs, floorRatio)
    }
    return call
  }

  /** Removes it, and charges nobody: it is not going to begin. */
  skip(): ShedCall | undefined {
    return this.removed(this.turn()?.skip())
  }

  /** What is in front of the last call of the lane that `call` is in, or would be, in milliseconds of work. */
  workBefore(call: ShedCall): number {
    let before = 0
    for (let k = 0; k < call.importance; k++) before += this.classes[k]!.workMs
    const own = this.classes[call.importance]!
    const inOwn = call.again ? own.workMs : own.first.workMs
    // However much more important calls wait, the class has what it is owed and goes on at the pace of its floor.
    return Math.min(before + inOwn, Math.max(inOwn, (inOwn - own.owedMs) / this.floorRatio))
  }

  /**
   * Removes whoever would be served last in the lane of `call`; `sparing` tenants that have had less than their share.
   * Its tenant pays for the time that takes: at `perMs`, what is worked off in a millisecond.
   */
  takeLast(call: ShedCall, sparing: boolean = false, perMs: number = 0): ShedCall | undefined {
    return this.removed(this.classes[call.importance]!.laneOf(call).takeFromLast(sparing, REFUSAL_MS * perMs))
  }

  /** Removes a call that matters less than `call`, of the class that matters least: second tries first. */
  takeLesser(call: ShedCall): ShedCall | undefined {
    for (let k = CLASSES - 1; k > call.importance; k--) {
      const { first, again } = this.classes[k]!
      const lesser = this.removed(again.takeFromLast() ?? first.takeFromLast())
      if (lesser !== undefined) return lesser
    }
    return undefined
  }

  /** Removes a call of a class that came before `time`, or `ownTime` if its tenant has had less than its share. */
  takeOlder(queue: ClassQueue, time: number, ownTime: number = time): ShedCall | undefined {
    return this.removed(queue.first.takeOlder(time, ownTime) ?? queue.again.takeOlder(time, ownTime))
  }

  /** Removes all calls. */
  empty(): ShedCall[] {
    const calls: ShedCall[] = []
    for (const queue of this.classes) {
      for (;;) {
        const call = this.takeOlder(queue, Infinity)
        if (call === undefined) break
        calls.push(call)
      }
    }
    return calls
  }

  reset(): void {
    for (const { first, again } of this.classes) {
      first.reset()
      again.reset()
    }
    for (const queue of this.classes) {
      queue.owedMs = 0
      queue.stands = false
    }
  }

  private turn(): ClassQueue | undefined {
    let chosen: ClassQueue | undefined
    for (const queue of this.classes) {
      if (queue.size > 0 && (chosen === undefined || queue.isOwed)) chosen = queue
    }
    return chosen
  }

  private removed(call: ShedCall | undefined): ShedCall | undefined {
    if (call !== undefined) this.size--
    return call
  }
}
