import type { IncomingMessage, ServerResponse } from 'node:http'
import { withContext } from '../../core/ambient.ts'
import type { Context } from '../../core/context.ts'
import { createContextKey } from '../../core/context-key.ts'
import type { Handler } from '../../core/handler.ts'
import { cancelled, deadlineExceeded, isRejection, type Rejection } from '../../core/rejection.ts'
import type { Ending, Scope, Watcher } from '../../core/scope.ts'
import { requestsOn } from './connection.ts'
import { mute } from './mute.ts'
import { problemOf } from './problem.ts'
import { sendProblem } from './send.ts'

const key = createContextKey<Exchange | undefined>('exchange', undefined)

/** The innermost handler of a chain around an exchange. */
export function proceed(_request: unknown, context: Context): Promise<void> {
  return context.get(key)!.run(context)
}

/** The exchange that `request` is part of, the innermost if there are several; none once it has been answered. */
export function exchangeOf(request: IncomingMessage): Exchange | undefined {
  return requestsOn<Exchange>(request.socket).get(request)
}

/** A response that says of itself, by its status, that the work failed. Gates see it; it is never sent. */
class FailedResponse extends Error {
  constructor(status: number) {
    super(`Answered with status ${status}`)
  }
}

/** What an exchange leaves to the framework that it is part of. */
export interface Framework {
  /** Lets the request on to its handler. */
  begin(): void
  /** Answers an error of the chain that is no refusal. */
  fail(error: unknown): void
}

/**
 * One request on its way through a chain. It is over when the response has been handed to the network, or when
 * the client has gone.
 */
export class Exchange implements Watcher {
  private readonly request: IncomingMessage
  private readonly response: ServerResponse
  private readonly framework: Framework
  private readonly scope: Scope
  /** The exchange of a chain further out that has the same request. */
  private readonly outer: Exchange | undefined
  private readonly requests: Map<IncomingMessage, Exchange>
  private current: Context
  private begun: boolean
  private work: Promise<void> | undefined
  private resolve: (() => void) | undefined
  private reject: ((error: unknown) => void) | undefined
  /** What the work failed with, if anybody said so. */
  private failure: unknown
  private over: boolean
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    framework: Framework,
    context: Context,
    requests: Map<IncomingMessage, Exchange>,
    outer: Exchange | undefined,
  ) {
    this.request = request
    this.response = response
    this.framework = framework
    this.scope = context.scope
    this.current = context.with(key, this)
    this.outer = outer
    this.begun = false
    this.work = undefined
    this.resolve = undefined
    this.reject = undefined
    this.failure = undefined
    this.over = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    this.requests = requests
    requests.set(request, this)
    response.on('finish', () => this.end(true))
  }

  /** The context of the innermost part of the chain that has been reached. */
  get context(): Context {
    return this.current
  }

  /** Sends the request through a chain whose innermost handler is `run`. */
  pass(call: Handler<any, void>): void {
    const { scope } = this
    if (scope.deadline !== Infinity) {
      if (this.current.remainingMs === 0) {
        this.refuse(deadlineExceeded('context', false))
        return
      }
      if (scope.ending === undefined) scope.watch(this)
    }
    let answer: Promise<void>
    try {
      answer = call(this.request, this.current)
    } catch (error) {
      this.fail(error)
      return
    }
    answer.then(undefined, error => this.fail(error))
  }

  /** The innermost handler: lets the request on, and waits for its response. A second time it only waits. */
  run(context: Context): Promise<void> {
    if (this.begun) return this.work!
    if (this.over || context.ended) return Promise.reject(context.scope.reason ?? cancelled('http'))
    this.begun = true
    this.current = context
    this.work = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
      withContext(context, this.framework.begin)
    })
    return this.work
  }

  /** Notes what the work failed with, for the gates that it stands behind. */
  note(error: unknown): void {
    this.failure ??= error
    this.outer?.note(error)
  }

  /** @internal The time of the whole exchange is up: the client is told before anybody else is. */
  scopeEnded(_ending: Ending, reason: unknown): void {
    if (isRejection(reason, 'deadline-exceeded')) this.refuse(reason)
  }

  /** What came out of the chain is an error. If it came from the handler, the handler has answered already. */
  private fail(error: unknown): void {
    if (this.over || this.response.writableEnded || this.response.destroyed) return
    if (isRejection(error)) this.refuse(error)
    else if (this.response.headersSent) this.response.destroy()
    else this.framework.fail(error)
  }

  private refuse(rejection: Rejection): void {
    const { response, begun } = this
    if (this.over || response.writableEnded || response.destroyed) return
    this.note(rejection)
    // Too late for a status: that the body ends early is all that the client can still be told.
    if (response.headersSent) {
      response.destroy()
      return
    }
    sendProblem(response, problemOf(rejection, { begun })!)
    if (begun) mute(response, rejection)
  }

  /** @internal The client has gone, or the response was cut off. */
  connectionClosed(): void {
    this.end(false)
    this.outer?.connectionClosed()
  }

  private end(sent: boolean): void {
    if (this.over) return
    this.over = true
    const { response, scope, failure } = this
    if (!sent) scope.end('cancelled', cancelled('http'))
    this.requests.delete(this.request)
    scope.unwatch(this)
    scope.close()
    if (!this.begun) return
    if (failure !== undefined) this.reject!(failure)
    else if (!sent) this.reject!(scope.reason)
    else if (response.statusCode >= 500) this.reject!(new FailedResponse(response.statusCode))
    else this.resolve!()
  }
}
