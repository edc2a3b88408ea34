import type { Gate, Outcome } from './gate.ts'
import type { Handler } from './handler.ts'
import { warn } from './warn.ts'

/** A gate, in the one shape that makes it cheap to call, whatever the gates of a process are made of. */
export class Step {
  readonly gate: Gate<any, any>
  readonly admit: Gate<any, any>['admit']
  readonly narrow: Gate<any, any>['narrow']
  private readonly settle: Gate<any, any>['settle']
  /** Whether it is settled only when the handler has come to its end. */
  readonly late: boolean
  /** For how many further calls somebody is expected to ask for the scope that the gate opens. */
  looks: number

  constructor(gate: Gate<any, any>) {
    this.gate = gate
    this.admit = gate.admit
    this.narrow = gate.narrow
    this.settle = gate.settle
    this.late = gate.until === 'work'
    this.looks = 0
  }

  /** Tells the gate how a call that it let in came out. */
  tell(ticket: unknown, outcome: Outcome, now: number, error: unknown): void {
    try {
      this.settle?.call(this.gate, ticket, outcome, now, error)
    } catch (thrown) {
      // It is too late to change the answer, and the gates further out must have their word.
      warn('SPILLWAY_SETTLE_FAILED', `${this.gate.name} threw from settle(): ${String(thrown)}`)
    }
  }
}

/** Neighbouring gates around a handler, outermost first. */
export class Row {
  readonly steps: readonly Step[]
  readonly next: Handler<any, any>
  /** Whether one of them is settled late. */
  readonly waits: boolean
  /** Which of them may rescue a call; past the last one if none. */
  readonly rescuer: number
  /** What the rescuer may call again: everything further in. */
  readonly rest: Handler<any, any>

  constructor(gates: readonly Gate<any, any>[], next: Handler<any, any>, fuse: Fuse) {
    const rescuer = gates.findIndex(gate => gate.rescue !== undefined)
    const inner = rescuer < 0 ? [] : gates.slice(rescuer + 1)
    this.steps = gates.map(gate => new Step(gate))
    this.next = next
    this.waits = this.steps.some(step => step.late)
    this.rescuer = rescuer < 0 ? gates.length : rescuer
    this.rest = inner.length > 0 ? fuse(inner, next) : next
  }
}

type Fuse = (gates: readonly Gate<any, any>[], next: Handler<any, any>) => Handler<any, any>
