import { chain } from '../../core/chain.ts'
import type { Handler, Middleware } from '../../core/handler.ts'
import { functionOption } from '../../core/options.ts'

/** A middleware for calls of whatever type: `chain(...)`, or a function that wraps a handler. */
export type Around = (next: Handler<any, any>) => Handler<any, any>

/** What stands around single methods, by name. */
export type AroundMethods = Readonly<Record<string, Around | undefined>>

/**
 * All that stands around the method `name`: `use`, and inside it what stands around that method alone. What comes
 * out of it answers with a promise, even if a middleware throws at once or answers with a plain value.
 */
export function aroundMethod(
  use: Around | undefined,
  methods: AroundMethods = {},
  name: string = '',
): Around {
  const own = methods[name]
  if (use !== undefined) functionOption('use', use)
  if (own !== undefined) functionOption(`methods.${name}`, own)
  const given = [use, own].filter(middleware => middleware !== undefined) as Middleware<any, any>[]
  const all = chain<any, any>(...given)
  return next => {
    const wrapped = all(next)
    return (request, context) => {
      try {
        const answer: unknown = wrapped(request, context)
        return answer instanceof Promise ? answer : Promise.resolve(answer)
      } catch (error) {
        return Promise.reject(error)
      }
    }
  }
}

/** Refuses the name of a method that `owner` does not have: what stands around it would never stand anywhere. */
export function knownMethods(
  owner: string,
  named: Iterable<string>,
  known: ReadonlyMap<string, unknown>,
): void {
  for (const name of named) {
    if (known.has(name)) continue
    throw new TypeError(`${owner} has no method \`${name}\`; it has ${[...known.keys()].join(', ')}`)
  }
}
