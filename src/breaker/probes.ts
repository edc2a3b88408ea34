/** A call that tries a half-open circuit. Its place is its own until the lease ends. */
export interface Probe<P> {
  readonly pass: P
  readonly leaseUntil: number
}

/**
 * The probes that are out at one time: never more than a few, each on a lease, so that a call which never comes
 * back cannot keep a circuit half open for ever.
 */
export class Probes<P> {
  successes: number
  failures: number
  private readonly out: Probe<P>[]

  constructor() {
    this.successes = 0
    this.failures = 0
    this.out = []
  }

  get inFlight(): number {
    return this.out.length
  }

  send(pass: P, leaseUntil: number): void {
    this.out.push({ pass, leaseUntil })
  }

  /** Gives the place back; says whether the probe still had one. */
  return(pass: P): boolean {
    const index = this.out.findIndex(probe => probe.pass === pass)
    if (index < 0) return false
    this.out.splice(index, 1)
    return true
  }

  /** Takes out the probe whose lease ended first, if one has ended. */
  takeLost(now: number): Probe<P> | undefined {
    let first: Probe<P> | undefined
    for (const probe of this.out) {
      if (probe.leaseUntil <= now && (first === undefined || probe.leaseUntil < first.leaseUntil))
        first = probe
    }
    if (first !== undefined) this.return(first.pass)
    return first
  }

  clear(): void {
    this.successes = 0
    this.failures = 0
    this.out.length = 0
  }
}
