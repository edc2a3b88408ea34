import type { ShedCall } from './call.ts'
import type { Refusal } from './shedder.ts'

/** Calls that have waited in vain, and have still to be told. */
export class Untold {
  private entries: { readonly call: ShedCall; readonly refusal: Refusal }[]

  constructor() {
    this.entries = []
  }

  /** Tells how many there are by now. */
  add(call: ShedCall, refusal: Refusal): number {
    return this.entries.push({ call, refusal })
  }

  /** Tells all of them. One that cannot be refused is given back, and is none of the others' business. */
  tell(giveBack: (call: ShedCall, error: unknown) => void): void {
    const { entries } = this
    if (entries.length === 0) return
    this.entries = []
    for (const { call, refusal } of entries) {
      try {
        call.task.refuse(call, refusal)
      } catch (error) {
        giveBack(call, error)
      }
    }
  }
}
