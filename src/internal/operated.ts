import type { Protection } from '../core/handler.ts'
import type { Mechanism } from '../core/mechanism.ts'

/** A middleware that is its own mechanism: it can be put in a chain, watched and changed. */
export type Operated<Options, Snapshot extends object, Req = unknown, Res = unknown> = Protection<Req, Res> &
  Mechanism<Options, Snapshot>

/** Gives a middleware the handles of the mechanism behind it, and whatever else `more` holds. */
export function operated<
  P extends (...args: never[]) => unknown,
  O,
  S extends object,
  M extends object = object,
>(protection: P, mechanism: Mechanism<O, S>, more: M = {} as M): P & Mechanism<O, S> & M {
  const handles = {
    kind: mechanism.kind,
    name: mechanism.name,
    update: (options: Partial<O>) => mechanism.update(options),
    snapshot: () => mechanism.snapshot(),
    reset: () => mechanism.reset(),
    ...more,
  }
  // A function's own `name` cannot be assigned, only defined.
  return Object.defineProperties(protection, Object.getOwnPropertyDescriptors(handles)) as P & typeof handles
}
