import type { ShedCall } from './call.ts'
import type { Refusal } from './shedder.ts'

/** What runs the queue, and so wants to know. */
export interface Host {
  /** How long the loop has had nothing to do, in all. */
  idleMs(): number
  /** A call is about to be settled. */
  settling(now: number): void
  /** A call that waits may be able to begin. */
  wake(): void
  /** A call that has waited is to be told that it is refused. */
  refuse(call: ShedCall, refusal: Refusal): void
  /** Lets a call that has waited go on by itself. */
  letGo(call: ShedCall): void
}
