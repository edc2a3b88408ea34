import { defaultContext } from '../../core/ambient.ts'
import { openContext } from '../../core/context.ts'
import { createContextKey } from '../../core/context-key.ts'
import type { Middleware } from '../../core/handler.ts'
import { functionOption, knownOptions } from '../../core/options.ts'
import { Exchange, type FetchLike } from './exchange.ts'
import {
  type FetchInit,
  isIdempotent,
  isRequest,
  type OutgoingRequest,
  outgoingRequest,
  sendsOnce,
} from './outgoing-request.ts'

export interface ProtectFetchOptions {
  /** The `fetch` that sends: the global one, undici's, a test's. @default the global one */
  readonly fetch?: FetchLike
  /**
   * Which responses are failures for the parts of the chain: for a breaker to count, for a retry to repeat. Whoever
   * calls `fetch` gets them as responses all the same.
   * @default status 429, and from 500 up
   */
  readonly isFailure?: (response: Response) => boolean
  /**
   * Whether the server is told how much time is left, how much the call matters, whose it is and which attempt it
   * is. Turn it off for servers of others, who have no business with the names of tenants.
   * @default true
   */
  readonly propagate?: boolean
}

/** A `fetch` with a chain around it. */
export type ProtectedFetch = (input: string | URL | Request, init?: FetchInit) => Promise<Response>

const current = createContextKey<Exchange | undefined>('fetch', undefined)

/**
 * Puts a chain around `fetch`. The result is called as `fetch` is. The deadline of the call is written into the
 * request, and when it passes, or the caller goes away, the request is aborted and its connection closed; that goes
 * on until the body has been read. Refusals of the chain are thrown; responses are returned, whatever their status.
 */
export function protectFetch(
  middleware: Middleware<OutgoingRequest, Response>,
  options: ProtectFetchOptions = {},
): ProtectedFetch {
  functionOption('middleware', middleware)
  knownOptions('protectFetch', options, ['fetch', 'isFailure', 'propagate'])
  // Looked up at each call, so that what replaces the global one later, a tracer say, is used.
  const fetch = functionOption('fetch', options.fetch ?? ((input, init) => globalThis.fetch(input, init)))
  const isFailure = functionOption('isFailure', options.isFailure ?? isFailedStatus)
  const propagate = options.propagate !== false
  const call = middleware((request: OutgoingRequest, context) => context.get(current)!.send(request, context))

  return async (input, given = {}) => {
    const { context: parent = defaultContext(), ...init } = given
    const request = outgoingRequest(input, init)
    const signal = init.signal ?? (isRequest(input) ? input.signal : undefined)
    const idempotent = parent.idempotent || isIdempotent(request)
    const open = openContext({ parent, signal, idempotent })
    const exchange = new Exchange({
      fetch,
      isFailure,
      propagate,
      input,
      init,
      once: sendsOnce(input, init),
      call: open,
    })
    try {
      const response = await call(request, open.context.with(current, exchange))
      exchange.discard()
      return response
    } catch (error) {
      return exchange.outcome(error)
    } finally {
      open.close()
    }
  }
}

function isFailedStatus({ status }: Response): boolean {
  return status === 429 || status >= 500
}
