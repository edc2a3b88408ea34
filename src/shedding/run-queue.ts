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
import type { ShedCall } from './call.ts'
import { Lane } from './lane.ts'

export const CLASSES = 4
/** The most work that a class is owed, unless one call is more. */
const MAX_OWED_MS = 20

/** The waiting calls of one class. */
export class ClassQueue {
  readonly first: Lane
  readonly again: Lane
  /** Whether its queue stands. */
  stands: boolean
  /** What it is owed of its floor. */
  owedMs: number

  constructor() {
    this.first = new Lane()
    this.again = new Lane()
    this.stands = false
    this.owedMs = 0
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

  /** Whether it has been passed over for long enough to have its next call served. */
  get isOwed(): boolean {
    return this.owedMs >= (this.first.oldest ?? this.again.oldest!).costMs
  }

  laneOf(call: ShedCall): Lane {
    return call.again ? this.again : this.first
  }

  take(): ShedCall | undefined {
    return (this.first.size > 0 ? this.first : this.again).take(this.stands)
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

  push(call: ShedCall): void {
    this.classes[call.importance]!.laneOf(call).push(call)
    this.size++
  }

  /** Removes the call that is to begin next. */
  take(): ShedCall | undefined {
    const { classes, floorRatio } = this
    let chosen: ClassQueue | undefined
    for (const queue of classes) {
      if (queue.size === 0) continue
      if (chosen === undefined || queue.isOwed) chosen = queue
    }
    const call = chosen?.take()
    if (chosen === undefined || call === undefined) return undefined
    this.size--
    const most = Math.max(MAX_OWED_MS, 2 * call.costMs)
    for (const queue of classes) {
      if (queue === chosen) queue.owedMs = Math.max(0, queue.owedMs - call.costMs)
      else queue.owedMs = Math.min(most, queue.owedMs + floorRatio * call.costMs)
    }
    return call
  }

  /** What is in front of the last call of the lane that `call` is in, or would be, in milliseconds of work. */
  workBefore(call: ShedCall): number {
    let before = 0
    for (let k = 0; k < call.importance; k++) before += this.classes[k]!.workMs
    const own = this.classes[call.importance]!
    const inOwn = call.again ? own.workMs : own.first.workMs
    // However much more important calls wait, the class goes on at the pace of its floor.
    return Math.min(before + inOwn, inOwn / this.floorRatio)
  }

  /** Removes whoever would be served last in the lane of `call`. */
  takeLast(call: ShedCall): ShedCall | undefined {
    return this.removed(this.classes[call.importance]!.laneOf(call).takeFromLast())
  }

  /** Removes a call of a class that came before `time`, if there is one. */
  takeOlder(queue: ClassQueue, time: number): ShedCall | undefined {
    const { first, again } = queue
    if ((first.oldest?.arrivedAt ?? Infinity) < time) return this.removed(first.takeOldest())
    if ((again.oldest?.arrivedAt ?? Infinity) < time) return this.removed(again.takeOldest())
    return undefined
  }

  reset(): void {
    for (const { first, again } of this.classes) {
      first.reset()
      again.reset()
    }
    for (const queue of this.classes) queue.owedMs = 0
  }

  private removed(call: ShedCall | undefined): ShedCall | undefined {
    if (call !== undefined) this.size--
    return call
  }
}
