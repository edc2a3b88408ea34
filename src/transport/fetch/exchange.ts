import { adviceOf, advise } from '../../core/advice.ts'
import type { Context, OpenContext } from '../../core/context.ts'
import { deadlineExceeded } from '../../core/rejection.ts'
import { type Ending, Scope, type Watcher } from '../../core/scope.ts'
import { baggageHeader } from '../wire/baggage.ts'
import { writeHttpContext } from '../wire/outbound.ts'
import { BodyWatch } from './body-watch.ts'
import { HttpFailure } from './http-failure.ts'
import { isRequest, type OutgoingRequest } from './outgoing-request.ts'

/** The part of `fetch` that is needed, so that any implementation of it will do. */
export type FetchLike = (input: any, init?: any) => Promise<any>

/** How the requests of one call are sent. */
export interface Sending {
  readonly fetch: FetchLike
  readonly isFailure: (response: Response) => boolean
  /** Whether the server is told of the context. */
  readonly propagate: boolean
  readonly input: string | URL | Request
  readonly init: RequestInit
  /** The request can be sent only once. */
  readonly once: boolean
  /** The call that all attempts are part of; it lives until the body has been read. */
  readonly call: OpenContext
}

/** One call of `fetch` by a user, however often the chain has it sent. */
export class Exchange {
  private readonly sending: Sending
  private readonly failures: HttpFailure[] = []
  /** What became of a request that cannot be sent again. */
  private final: { readonly error: unknown } | undefined

  constructor(sending: Sending) {
    this.sending = sending
  }

  /** The innermost handler: sends the request once. */
  async send(request: OutgoingRequest, context: Context): Promise<Response> {
    const { fetch, isFailure, propagate, input, init, once, call } = this.sending
    if (this.final !== undefined) throw this.final.error
    if (context.remainingMs === 0) throw deadlineExceeded('fetch', false)
    const connection = new AbortController()
    const headers = new Headers(request.headers)
    if (propagate) {
      const baggage = headers.get(baggageHeader) ?? undefined
      writeHttpContext(context, baggage, (name, value) => headers.set(name, value))
    }
    const watcher = new Attempt(connection)
    const { scope } = context
    if (scope.ending !== undefined) throw scope.reason
    if (!scope.endless) scope.watch(watcher)
    try {
      const target = isRequest(input) ? input : request.url
      const sent = { ...init, method: request.method, headers, signal: connection.signal }
      const response: Response = await fetch(target, sent)
      const { clock, deadline } = scope
      const body = new Scope(
        clock,
        call.context.scope,
        deadline,
        () => deadlineExceeded('fetch', true),
        undefined,
      )
      new BodyWatch(body, reason => connection.abort(reason)).watch(response)
      if (!isFailure(response)) return response
      const failure = new HttpFailure(response)
      this.failures.push(failure)
      throw failure
    } catch (error) {
      if (once) this.final = { error }
      throw error
    } finally {
      scope.unwatch(watcher)
    }
  }

  /** What the user gets: a response is a response, whatever its status. The others are let go of. */
  outcome(error: unknown): Response {
    const own = this.failures.find(failure => failure === error)
    this.discard(own)
    if (own === undefined) throw error
    // What the chain has come to know, above all that nobody may try again, must not be lost with the error.
    const advice = adviceOf(own)
    if (advice !== undefined) advise(own.response, advice)
    return own.response
  }

  /** Frees the connections of responses that nobody will see. */
  discard(kept?: HttpFailure): void {
    for (const failure of this.failures) {
      if (failure === kept || failure.response.bodyUsed) continue
      failure.response.body?.cancel().catch(ignore)
    }
  }
}

/** Aborts one attempt when its context ends before there is a response. */
class Attempt implements Watcher {
  private readonly connection: AbortController
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(connection: AbortController) {
    this.connection = connection
    this.nextWatcher = undefined
    this.previousWatcher = undefined
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.connection.abort(reason)
  }
}

const ignore = (): void => {}
