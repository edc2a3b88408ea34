import type { Pass, Verdict } from './breaker.ts'

/** What is told once how the call came out. */
interface Settling {
  settle(pass: CircuitPass, verdict: Verdict, now: number, error: unknown): void
}

/** A call that a circuit let in: under which generation, and when. */
export class CircuitPass implements Pass {
  readonly generation: number
  readonly at: number
  private readonly circuit: Settling
  private settled: boolean

  constructor(circuit: Settling, generation: number, at: number) {
    this.generation = generation
    this.at = at
    this.circuit = circuit
    this.settled = false
  }

  settle(verdict: Verdict, now: number, error?: unknown): void {
    if (this.settled) return
    this.settled = true
    this.circuit.settle(this, verdict, now, error)
  }
}
