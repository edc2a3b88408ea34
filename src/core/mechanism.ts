/**
 * What every mechanism of the kit can do besides its own job. `update` checks its options as the constructor
 * does and changes all of them or none.
 */
export interface Mechanism<Options = any, Snapshot extends object = object> {
  /** What it is: `token-bucket`, `circuit`. */
  readonly kind: string
  /** What it is called in `inspect()`, in refusals and in metrics. */
  readonly name: string
  /** Changes settings while calls are in flight. What has been counted so far is kept where it still means something. */
  update(options: Partial<Options>): void
  /** Settings and counters as plain data, at this moment. */
  snapshot(): Snapshot
  /** Forgets what has been counted and learnt; settings stay. */
  reset(): void
}

/** A line of `inspect()`. */
export interface Inspection {
  readonly kind: string
  readonly name: string
  readonly snapshot: object
}

// Held weakly: to be listed must not keep a mechanism alive that its owner has let go of.
const registered = new Set<WeakRef<Mechanism>>()
const gone = new FinalizationRegistry<WeakRef<Mechanism>>(reference => registered.delete(reference))

/** Lists `mechanism` in `inspect()` for as long as anybody else holds it. Returns it. */
export function register<M extends Mechanism>(mechanism: M): M {
  const reference = new WeakRef<Mechanism>(mechanism)
  registered.add(reference)
  gone.register(mechanism, reference)
  return mechanism
}

/** Every registered mechanism of the process with its present state, in the order in which they were made. */
export function inspect(): readonly Inspection[] {
  const list: Inspection[] = []
  for (const reference of registered) {
    const mechanism = reference.deref()
    if (mechanism !== undefined) {
      list.push({ kind: mechanism.kind, name: mechanism.name, snapshot: mechanism.snapshot() })
    }
  }
  return list
}
