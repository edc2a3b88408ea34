import type { Gate } from './gate.ts'
import type { Handler } from './handler.ts'

/** What a part of a chain does; `chain` knows from it which orders hurt. */
export type Kind =
  | 'observe'
  | 'fallback'
  | 'cache'
  | 'deadline'
  | 'retry'
  | 'hedge'
  | 'attempt-deadline'
  | 'throttle'
  | 'rate-limit'
  | 'shed'
  | 'balance'
  | 'breaker'
  | 'bulkhead'
  | 'fault'
  | 'other'

type Wrap = (next: Handler<any, any>) => Handler<any, any>

/** A middleware that waits, or calls `next` more than once, and so cannot be a gate. */
export interface Layer {
  readonly kind: Kind
  readonly name: string
  /** Whether it may call `next` more than once, or not wait for it: a retry, a hedge. @default false */
  readonly repeats?: boolean
  /** Kinds of trouble the layer has of its own, for `chain` to warn about. */
  readonly warning?: string | undefined
  readonly wrap: Wrap
}

/** One link of a chain. */
export type Part = { readonly gate: Gate<any, any> } | { readonly layer: Layer }

const tag: unique symbol = Symbol.for('spillway.parts') as never

interface Tagged {
  [tag]?: readonly Part[]
}

/** Notes on a middleware what it is made of, so that an enclosing chain can take it apart. */
export function tagParts<M extends object>(middleware: M, parts: readonly Part[]): M {
  Object.defineProperty(middleware, tag, { value: parts })
  return middleware
}

/** What a middleware is made of. One written by hand is a single layer that nothing is known about. */
export function partsOf(middleware: Wrap): readonly Part[] {
  const parts = (middleware as Tagged)[tag]
  return parts ?? [{ layer: { kind: 'other', name: middleware.name || 'middleware', wrap: middleware } }]
}

/** The handler that a layer makes of another. */
export function wrapBy(layer: Layer, next: Handler<any, any>): Handler<any, any> {
  const wrapped: unknown = layer.wrap(next)
  if (typeof wrapped === 'function') return wrapped as Handler<any, any>
  throw new TypeError(`Expected ${layer.name} to return a handler, got ${String(wrapped)}`)
}
