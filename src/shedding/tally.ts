import { type Mode, type Refusal, refusals, type ShedderSnapshot } from './shedder.ts'

/** How much of a second the recent past is made of. */
const HALF_MS = 500

/** What a shedder has decided: since the start, and lately. */
export class Tally {
  admitted: number
  exempt: number
  readonly refused: Record<Refusal, number>
  /** Decisions of the present half second and of the one before. */
  private readonly present: Recent
  private readonly past: Recent
  private half: number

  constructor() {
    this.admitted = 0
    this.exempt = 0
    this.refused = emptyRefusals()
    this.present = { admitted: 0, refused: 0 }
    this.past = { admitted: 0, refused: 0 }
    this.half = -1
  }

  admit(now: number): void {
    this.turn(now)
    this.admitted++
    this.present.admitted++
  }

  refuse(refusal: Refusal, now: number): void {
    this.turn(now)
    this.refused[refusal]++
    // What nobody waits for any more was not refused for want of room.
    if (refusal !== 'gone') this.present.refused++
  }

  /** Counts a call whose time was up before it came. Anybody can send those: they say nothing about the load. */
  late(mode: Mode): 'run' | 'late' {
    this.refused.late++
    return mode === 'observe' ? 'run' : 'late'
  }

  /** Which part of the calls of the last half second or second were refused. */
  refusedShare(now: number): number {
    const { present, past } = this
    if (present.refused + past.refused === 0) return 0
    this.turn(now)
    const refused = present.refused + past.refused
    return refused === 0 ? 0 : refused / (refused + present.admitted + past.admitted)
  }

  snapshot(): Pick<ShedderSnapshot, 'admitted' | 'exempt' | 'refused'> {
    return { admitted: this.admitted, exempt: this.exempt, refused: { ...this.refused } }
  }

  reset(): void {
    this.admitted = 0
    this.exempt = 0
    Object.assign(this.refused, emptyRefusals())
    for (const recent of [this.present, this.past]) {
      recent.admitted = 0
      recent.refused = 0
    }
    this.half = -1
  }

  private turn(now: number): void {
    const half = Math.floor(now / HALF_MS)
    if (half === this.half) return
    const { present, past } = this
    const next = half === this.half + 1
    past.admitted = next ? present.admitted : 0
    past.refused = next ? present.refused : 0
    present.admitted = 0
    present.refused = 0
    this.half = half
  }
}

interface Recent {
  admitted: number
  refused: number
}

function emptyRefusals(): Record<Refusal, number> {
  return Object.fromEntries(refusals.map(refusal => [refusal, 0])) as Record<Refusal, number>
}
