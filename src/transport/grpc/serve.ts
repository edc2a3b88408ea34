import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { checkInbound, type InboundOptions } from '../wire/inbound.ts'
import { type Around, type AroundMethods, aroundMethod, knownMethods } from './around.ts'
import { receiver, type UserHandler } from './receiver.ts'
import type { Implementation } from './server-types.ts'

export interface ServeOptions<Service = any> extends InboundOptions {
  /** What stands around every call: `chain(...)`. @default nothing */
  readonly use?: Around
  /** What stands around the calls of single methods, inside `use`. @default nothing */
  readonly methods?: { readonly [K in keyof Implementation<Service>]?: Around }
  /**
   * Whether `currentContext()` works in the handlers. Without it they have to hand their context on to every call
   * that they make, and everything asynchronous in the process costs a little less.
   * @default true
   */
  readonly ambient?: boolean
  /**
   * Told of every error that is neither a refusal nor a status. The caller sees only that there was one.
   * @default prints it
   */
  readonly onError?: (error: unknown, context: Context) => void
  /** Where the time comes from. @default the process's own */
  readonly clock?: Clock
}

const options = ['use', 'methods', 'ambient', 'onError', 'clock', 'timeoutMs', 'trustPeers']

/**
 * Turns handlers that return promises and iterables into those that `server.addService` takes. Each is called with
 * the request and a context, which has the deadline of the caller and ends when the caller hangs up.
 *
 * `Service` is the type that the generator made for an implementation: `serve<CatalogServer>({ ... })`.
 */
export function serve<Service = UntypedServiceImplementation>(
  implementation: Implementation<Service>,
  given: ServeOptions<Service> = {},
): Service {
  knownOptions('serve', given, options)
  const { use, ambient = true, onError = print } = given
  const around = (given.methods ?? {}) as AroundMethods
  functionOption('onError', onError)
  checkInbound(given)
  const handlers = handlersOf(implementation)
  knownMethods('The implementation', Object.keys(around), handlers)
  const served: Record<string, unknown> = {}
  for (const [name, handler] of handlers) {
    served[name] = receiver(handler, {
      use: aroundMethod(use, around, name),
      ambient,
      onError,
      inbound: given,
    })
  }
  return served as Service
}

/** The methods of an object or of an instance of a class. */
function handlersOf(implementation: object): Map<string, UserHandler> {
  const handlers = new Map<string, UserHandler>()
  for (let owner = implementation; owner !== null && owner !== Object.prototype; ) {
    for (const name of Object.getOwnPropertyNames(owner)) {
      const member = (implementation as Record<string, unknown>)[name]
      if (name === 'constructor' || typeof member !== 'function' || handlers.has(name)) continue
      handlers.set(name, member.bind(implementation))
    }
    owner = Object.getPrototypeOf(owner)
  }
  return handlers
}

function print(error: unknown): void {
  console.error(error)
}
