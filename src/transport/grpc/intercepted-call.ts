import {
  type InterceptorOptions,
  Metadata,
  type NextCall,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js'
import type { Context } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { cancelled } from '../../core/rejection.ts'
import { Scope } from '../../core/scope.ts'
import { Attempt } from './attempt.ts'
import { callMetadata } from './call-metadata.ts'
import { refusal } from './client-handlers.ts'
import { leftUntil, timedOut } from './grpc-deadline.ts'
import { type Method, type OutgoingCall, outgoingCall } from './method.ts'
import { isMessages } from './pump.ts'
import { DELIVERED } from './response-stream.ts'
import { callStatusOf } from './status.ts'

type GrpcCall = ReturnType<NextCall>
type Listener = NonNullable<Parameters<GrpcCall['start']>[1]>
type MessageContext = Parameters<GrpcCall['sendMessageWithContext']>[0]

/** Something that was done to the call before there was a call of the channel to do it to. */
type Step = (call: GrpcCall) => void

/**
 * A call of somebody else's code on its way to the channel, with a chain around it. To whoever made it, it is the
 * call. Each attempt that the chain makes takes a call of its own from the channel; a unary answer, and whatever
 * belongs to it, is handed up when the chain has its result, a stream of answers as it comes.
 */
export class InterceptedCall implements OutgoingCall {
  readonly method: Method
  private readonly run: Handler<any, unknown>
  private readonly options: InterceptorOptions
  private readonly nextCall: NextCall
  private readonly context: Context
  private readonly held: Step[]
  private listener: Listener
  private given: Metadata
  private own: Metadata | undefined
  private message: { readonly context: MessageContext } | undefined
  private active: GrpcCall | undefined
  /** What goes up before a unary answer. */
  private headers: Metadata | undefined
  private status: StatusObject
  private cancelledWith: StatusObject | undefined
  private final: { readonly error: unknown } | undefined
  /** Whether the messages come from the chain, and no call of the channel is left to be cancelled. */
  private delivering: boolean
  private reads: number
  private wake: (() => void) | undefined
  private over: boolean

  constructor(
    run: Handler<any, unknown>,
    method: Method,
    parent: Context,
    options: InterceptorOptions,
    nextCall: NextCall,
  ) {
    const { clock } = parent
    const left = leftUntil(options.deadline ?? Infinity)
    const deadline = Math.min(parent.deadline, left === Infinity ? Infinity : clock.now() + left)
    const scope = new Scope(clock, parent.scope, deadline, timedOut, undefined)
    this.method = method
    this.run = run
    this.options = options.deadline === undefined ? options : { ...options, deadline: Infinity }
    this.nextCall = nextCall
    this.context = parent.within(scope).with(outgoingCall, this)
    this.held = []
    this.listener = {}
    this.given = noMetadata
    this.own = undefined
    this.message = undefined
    this.active = undefined
    this.headers = undefined
    this.status = { code: status.OK, details: 'OK', metadata: noMetadata }
    this.cancelledWith = undefined
    this.final = undefined
    this.delivering = false
    this.reads = 0
    this.wake = undefined
    this.over = false
  }

  get metadata(): Metadata {
    this.own ??= this.given.clone()
    return this.own
  }

  start(metadata: Metadata, listener: Listener = {}): void {
    this.given = metadata
    this.listener = listener
    if (this.options.method_definition.requestStream) this.begin(undefined)
  }

  sendMessage(message: unknown): void {
    this.sendMessageWithContext({}, message)
  }

  sendMessageWithContext(context: MessageContext, message: unknown): void {
    if (this.options.method_definition.requestStream) {
      this.pass(call => call.sendMessageWithContext(context, message))
    } else {
      this.message = { context }
      this.begin(message)
    }
  }

  halfClose(): void {
    // Where there is one message, it brings the half-close along.
    if (this.options.method_definition.requestStream) this.pass(call => call.halfClose())
  }

  startRead(): void {
    this.reads++
    this.wake?.()
    this.active?.startRead()
  }

  cancelWithStatus(code: status, details: string): void {
    this.cancelledWith ??= { code, details, metadata: new Metadata() }
    this.context.scope.end('cancelled', cancelled('grpc'))
    if (this.delivering) this.finish(this.cancelledWith)
  }

  getPeer(): string {
    return this.active?.getPeer() ?? 'unknown'
  }

  getAuthContext(): ReturnType<GrpcCall['getAuthContext']> {
    return this.active?.getAuthContext() ?? null
  }

  /** The innermost handler: one call of the channel. */
  attempt(message: unknown, context: Context): Promise<unknown> {
    return (
      refusal(context) ??
      new Promise((resolve, reject) => {
        if (this.final !== undefined) return reject(this.final.error)
        const { requestStream, responseStream } = this.options.method_definition
        const metadata = callMetadata(context, this.own ?? this.given)
        const attempt = new Attempt<unknown>(context.scope, metadata, resolve, reject)
        const call = this.nextCall(this.options)
        let answer: unknown = null
        let headers: Metadata | undefined
        let committed = requestStream
        attempt.onFailure = error => {
          if (committed) this.final = { error }
        }
        attempt.started({ cancel: () => call.cancelWithStatus(status.CANCELLED, 'Cancelled on client') })
        call.start(metadata, {
          onReceiveMetadata: metadata => {
            if (attempt.over) return
            if (responseStream) {
              committed = true
              this.listener.onReceiveMetadata?.(metadata)
            } else headers = metadata
          },
          onReceiveMessage: message => {
            if (attempt.over) return
            if (responseStream) {
              committed = true
              this.listener.onReceiveMessage?.(message)
            } else answer = message
          },
          onReceiveStatus: received => {
            if (received.code !== status.OK) return attempt.fail(errorOf(received))
            this.headers = headers
            this.status = received
            attempt.succeed(responseStream ? DELIVERED : answer)
          },
        })
        this.active = call
        if (this.message !== undefined) {
          call.sendMessageWithContext(this.message.context, message)
          call.halfClose()
        }
        for (const step of this.held.splice(0)) step(call)
        if (responseStream && this.reads > 0) call.startRead()
      })
    )
  }

  private begin(message: unknown): void {
    this.run(message, this.context).then(
      answer => {
        if (!this.options.method_definition.responseStream) {
          if (this.headers !== undefined) this.listener.onReceiveMetadata?.(this.headers)
          this.listener.onReceiveMessage?.(answer)
          this.finish(this.status)
        } else if (this.final !== undefined) {
          this.finish(callStatusOf(this.final.error))
        } else if (answer === DELIVERED || !isMessages(answer)) {
          this.finish(this.status)
        } else {
          this.deliver(answer)
        }
      },
      error => this.finish(this.cancelledWith ?? callStatusOf(this.final?.error ?? error)),
    )
  }

  /** Something in the chain has answered in place of a stream. */
  private async deliver(messages: Iterable<unknown> | AsyncIterable<unknown>): Promise<void> {
    this.delivering = true
    try {
      for await (const message of messages) {
        while (this.reads === 0 && !this.over) {
          await new Promise<void>(resolve => {
            this.wake = resolve
          })
        }
        if (this.over) return
        this.reads--
        this.listener.onReceiveMessage?.(message)
      }
      this.finish(this.status)
    } catch (error) {
      this.finish(callStatusOf(error))
    }
  }

  private finish(result: StatusObject): void {
    if (this.over) return
    this.over = true
    this.wake?.()
    this.context.scope.close()
    this.listener.onReceiveStatus?.(result)
  }

  private pass(step: Step): void {
    if (this.active === undefined) this.held.push(step)
    else step(this.active)
  }
}

const noMetadata = new Metadata()

/** A failed status as an error, for the chain to look at. */
function errorOf(received: StatusObject): ServiceError {
  const { code, details } = received
  return Object.assign(new Error(`${code} ${status[code]}: ${details}`), received)
}
