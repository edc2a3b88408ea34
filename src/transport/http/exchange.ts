import type { IncomingMessage, ServerResponse } from 'node:http'
import { withContext } from '../../core/ambient.ts'
import { writeAnswerFields } from '../../core/answer-fields.ts'
import type { Context } from '../../core/context.ts'
import { createContextKey } from '../../core/context-key.ts'
import type { TaskRunner } from '../../core/fuse.ts'
import type { Handler } from '../../core/handler.ts'
import { cancelled, deadlineExceeded, isRejection, type Rejection } from '../../core/rejection.ts'
import type { Ending, Scope, Watcher } from '../../core/scope.ts'
import type { Task, TaskEnd } from '../../core/task.ts'
import { onBehalfOf } from './connection.ts'
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
  return onBehalfOf<Exchange>(request)
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
export class Exchange implements Watcher, Task {
  // Let go of at the end: whatever else was begun in the context, a timer of the connection above all, holds on to
  // the context and so to the exchange, and requests that outlive their time make every garbage collection longer.
  private request: IncomingMessage | undefined
  private response: ServerResponse | undefined
  private framework: Framework | undefined
  private readonly scope: Scope
  /** The exchange of a chain further out that has the same request. */
  private readonly outer: Exchange | undefined
  private readonly requests: Map<IncomingMessage, Exchange>
  private current: Context
  private begun: boolean
  /** Told how the work came out, in place of a promise of it. */
  private frame: TaskEnd | undefined
  private promise: Promise<void> | undefined
  private resolve: (() => void) | undefined
  private reject: ((error: unknown) => void) | undefined
  /** What the work failed with, if anybody said so. */
  private failure: unknown
  private over: boolean
  private settled: boolean
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
    this.current =
      outer === undefined
        ? writeAnswerFields(context, (name, value) => this.writeField(name, value))
        : context
    this.outer = outer
    this.begun = false
    this.frame = undefined
    this.promise = undefined
    this.resolve = undefined
    this.reject = undefined
    this.failure = undefined
    this.over = false
    this.settled = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    this.requests = requests
    requests.set(request, this)
  }

  /** Learns the end of the response from the response itself, for all that goes on for the request. */
  listen(): void {
    const { requests } = this
    const request = this.request!
    const response = this.response!
    // In HTTP/2 it says that it is finished also when the client has given up.
    const finished = (): void => requests.get(request)?.responseSent(response.writableEnded)
    // One that was sent while the request still waited to get here does not say so again.
    if (response.writableFinished) process.nextTick(finished)
    else response.on('finish', finished)
  }

  /** The context of the innermost part of the chain that has been reached. */
  get context(): Context {
    return this.current
  }

  /** The end of the work. */
  get work(): Promise<void> {
    if (this.promise === undefined) {
      this.promise = new Promise((resolve, reject) => {
        this.resolve = resolve
        this.reject = reject
      })
      if (this.settled) this.settle()
    }
    return this.promise
  }

  /** Sends the request through a chain whose innermost handler is `run`. */
  pass(call: Handler<any, void>): void {
    this.current = this.current.with(key, this)
    if (!this.opens()) return
    let answer: Promise<void>
    try {
      answer = call(this.request, this.current)
    } catch (error) {
      this.failed(error)
      return
    }
    answer.then(undefined, error => this.failed(error))
  }

  /** The same for a chain that is a row of gates. */
  perform(runner: TaskRunner): void {
    if (this.opens()) runner(this, this.request, this.current)
  }

  /** Whether there is time for the call. If so, it watches that there is. */
  private opens(): boolean {
    const { scope } = this
    if (scope.deadline === Infinity) return true
    if (this.current.remainingMs === 0) {
      this.refuse(deadlineExceeded('context', false))
      return false
    }
    if (scope.ending === undefined) scope.watch(this)
    return true
  }

  /** The innermost handler: lets the request on, and waits for its response. A second time it only waits. */
  run(context: Context): Promise<void> {
    if (this.begun) return this.work
    if (this.over || context.ended) return Promise.reject(context.scope.reason ?? cancelled('http'))
    const { work } = this
    try {
      this.begin(context, undefined)
    } catch (error) {
      this.reject!(error)
    }
    return work
  }

  /** @internal Lets the request on. */
  begin(context: Context, frame: TaskEnd | undefined): void {
    this.begun = true
    this.current = context
    this.frame = frame
    withContext(context, this.framework!.begin)
  }

  /** Notes what the work failed with, for the gates that it stands behind. */
  note(error: unknown): void {
    this.failure ??= error
    this.outer?.note(error)
  }

  /** Writes a field of the answer, while the response can still take it. */
  private writeField(name: string, value: string): void {
    const { response } = this
    if (response === undefined || response.headersSent || response.destroyed) return
    // Node refuses other characters with an exception, which would fail the call that wanted to say something.
    response.setHeader(name, value.replaceAll(/[^\t\x20-\x7e]/g, '?'))
  }

  /** @internal The time of the whole exchange is up: the client is told before anybody else is. */
  scopeEnded(_ending: Ending, reason: unknown): void {
    if (isRejection(reason, 'deadline-exceeded')) this.refuse(reason)
  }

  /** @internal What came out of the chain is an error. If it came from the handler, the handler has answered already. */
  failed(error: unknown): void {
    const { response } = this
    if (response === undefined || response.writableEnded || response.destroyed) return
    if (isRejection(error)) this.refuse(error)
    else if (response.headersSent) response.destroy()
    else this.framework!.fail(error)
  }

  private refuse(rejection: Rejection): void {
    const { response, begun } = this
    if (response === undefined || response.writableEnded || response.destroyed) return
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

  /** @internal The response is finished: handed to the network, if it was `ended`. */
  responseSent(ended: boolean = true): void {
    this.end(ended)
    this.outer?.responseSent(ended)
  }

  private end(sent: boolean): void {
    if (this.over) return
    this.over = true
    const { scope } = this
    if (!sent) scope.end('cancelled', cancelled('http'))
    this.requests.delete(this.request!)
    if (this.begun) this.tell(sent)
    scope.unwatch(this)
    scope.close()
    this.request = undefined
    this.response = undefined
    this.framework = undefined
    this.frame = undefined
  }

  /** Says how the work came out. */
  private tell(sent: boolean): void {
    const { frame, response } = this
    if (this.failure === undefined) {
      if (!sent) this.failure = this.scope.reason
      else if (response!.statusCode >= 500) this.failure = new FailedResponse(response!.statusCode)
    }
    this.settled = true
    if (frame !== undefined) {
      if (this.failure === undefined) frame.succeeded()
      else frame.failed(this.failure)
    }
    if (this.promise !== undefined) this.settle()
  }

  private settle(): void {
    if (this.failure === undefined) this.resolve!()
    else this.reject!(this.failure)
  }
}
