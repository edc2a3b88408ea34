import { defaultContext } from './ambient.ts'
import { guard, reportOrder } from './checks.ts'
import { fuse, fuseTask, type TaskRunner } from './fuse.ts'
import type { Gate } from './gate.ts'
import type { Call, Handler, Middleware, Protection } from './handler.ts'
import { choiceOption, functionOption, nameOption } from './options.ts'
import { type Kind, type Layer, type Part, partsOf, tagParts, wrapBy } from './part.ts'

/**
 * Puts middlewares around a handler, the first outermost: `chain(a, b, c)(h)` is `a(b(c(h)))`. Neighbouring gates
 * share one asynchronous frame, which changes nothing but the cost. Chains nest, and fuse where they meet.
 *
 * What the middlewares need to know of the request and the answer is inferred from them. Say it yourself,
 * `chain<IncomingMessage>(...)`, where a function written in place stands beside one that needs something.
 *
 * Outside production (`NODE_ENV`), an order that is known to hurt and a middleware that misuses `next` each cause
 * one warning.
 */
export function chain(...middlewares: readonly Middleware[]): Protection
export function chain<Req, Res = unknown>(
  ...middlewares: readonly Middleware<Req, Res>[]
): Protection<Req, Res>
export function chain(...middlewares: readonly Middleware<any, any>[]): Protection<any, any> {
  for (const middleware of middlewares) {
    if (typeof middleware !== 'function') {
      throw new TypeError(`Expected every argument of chain() to be a middleware, got ${String(middleware)}`)
    }
  }
  const parts = middlewares.flatMap(middleware => partsOf(middleware))
  if (process.env.NODE_ENV !== 'production') reportOrder(parts)
  return assemble(parts)
}

/** Turns a gate into a middleware. */
export function gate<Req = unknown, Ticket = unknown>(definition: Gate<Req, Ticket>): Protection<Req> {
  const name = nameOption('name', definition.name)
  functionOption('admit', definition.admit)
  choiceOption('until', definition.until ?? 'answer', ['answer', 'work'])
  for (const step of ['admit', 'narrow', 'settle'] as const) {
    // Nobody would look at what it resolves to, so a gate that refuses would let every call in.
    if (Object.prototype.toString.call(definition[step]) === '[object AsyncFunction]') {
      throw new TypeError(`Expected \`${step}\` of ${name} not to be async: what has to wait is a layer`)
    }
  }
  return assemble([{ gate: definition }])
}

/** Turns a function that wraps a handler into a middleware that a chain knows the name and the kind of. */
export function layer(about: Omit<Layer, 'wrap'>, wrap: Middleware): Protection
export function layer<Req, Res = unknown>(
  about: Omit<Layer, 'wrap'>,
  wrap: Middleware<Req, Res>,
): Protection<Req, Res>
export function layer(about: Omit<Layer, 'wrap'>, wrap: Middleware<any, any>): Protection<any, any> {
  nameOption('name', about.name)
  functionOption('wrap', wrap)
  return assemble([{ layer: { ...about, wrap: wrap as Layer['wrap'] } }])
}

/** What a middleware is made of, outermost first. */
export function describe(
  middleware: Middleware<any, any>,
): readonly { readonly kind: Kind; readonly name: string }[] {
  return partsOf(middleware).map(part => {
    const { kind, name } = 'gate' in part ? part.gate : part.layer
    return { kind, name }
  })
}

/** @internal What sends tasks through `middleware`, where it is gates and nothing else. */
export function taskRunner(middleware: Middleware<any, any>): TaskRunner | undefined {
  const gates: Gate<any, any>[] = []
  for (const part of partsOf(middleware)) {
    if ('layer' in part || part.gate.rescue !== undefined) return undefined
    gates.push(part.gate)
  }
  return fuseTask(gates)
}

function assemble(parts: readonly Part[]): Protection<any, any> {
  const protect = (handler: Handler<any, any>): Call<any, any> => {
    const wrapped = wrapAll(parts, handler)
    // A row of gates has a frame, which lets go of what the call held on to. What begins otherwise is given one,
    // but only where it is needed: under a context that nobody will close.
    const framed = parts[0] !== undefined && 'gate' in parts[0] ? wrapped : fuse([], wrapped)
    return (request?: unknown, context = defaultContext()) => {
      try {
        return context.scope.loose ? framed(request, context) : wrapped(request, context)
      } catch (error) {
        // A frame never throws, but a row may begin with a layer that does.
        return Promise.reject(error)
      }
    }
  }
  return tagParts(protect, parts)
}

/** Works from the inside out, collecting gates until a layer, or a gate that cannot join them, ends their row. */
function wrapAll(parts: readonly Part[], handler: Handler<any, any>): Handler<any, any> {
  const checked = process.env.NODE_ENV !== 'production'
  let wrapped = handler
  let row: Gate<any, any>[] = []
  for (const part of parts.toReversed()) {
    if ('gate' in part && joins(part.gate, row)) {
      row.unshift(part.gate)
      continue
    }
    if (row.length > 0) wrapped = fuse(row, wrapped)
    row = 'gate' in part ? [part.gate] : []
    if ('layer' in part) wrapped = checked ? guard(part.layer, wrapped) : wrapBy(part.layer, wrapped)
  }
  return row.length > 0 ? fuse(row, wrapped) : wrapped
}

/** Whether `gate` can stand before `row` in one frame: what it rescues must have the context that it was given itself. */
function joins(gate: Gate<any, any>, row: readonly Gate<any, any>[]): boolean {
  return gate.rescue === undefined || row.every(inner => !inner.rescue && !inner.narrow)
}
