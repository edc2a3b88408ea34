import type { Duplex } from 'node:stream'
import { Metadata, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import { collectAnswerFields } from '../../core/answer-fields.ts'
import type { Context, OpenContext } from '../../core/context.ts'
import { cancelled, isRejection } from '../../core/rejection.ts'
import type { Ending, Watcher } from '../../core/scope.ts'
import { warn } from '../../core/warn.ts'
import { type IncomingCall, incomingCall, type Method } from './method.ts'
import { isMessages, Pump } from './pump.ts'
import { DELIVERED } from './response-stream.ts'
import { isStatus, statusOf } from './status.ts'

/** The part of grpc-js's call objects that all four kinds have. */
export type ServerCall = Omit<ServerUnaryCall<any, any>, 'request'>

const NO_MESSAGES = 'Expected the answers of a stream to be an iterable or an async iterable'
const TWICE = 'The handler of a stream was called again after it had sent messages'

/** This close to its deadline, a call that grpc-js ends has run out of time: its timers count whole milliseconds. */
const CLOSE_MS = 2

/**
 * One call of a server, from its arrival to its answer. The first of three events ends it: the handler's answer,
 * the deadline, or the caller, who hung up. In the second and third its context ends, and with it everything that
 * the handler started further down.
 */
export class Incoming implements IncomingCall, Watcher {
  readonly method: Method
  readonly context: Context
  /** Whether the handler has been reached. */
  begun: boolean
  /** Told when the call ends before the handler does. */
  onEarlyEnd: ((reason: unknown) => void) | undefined
  private readonly call: ServerCall
  private readonly callback: sendUnaryData<any> | undefined
  private readonly open: OpenContext
  private readonly fields: ReadonlyMap<string, string>
  private readonly onError: (error: unknown, context: Context) => void
  private pump: Pump<unknown> | undefined
  private ownTrailers: Metadata | undefined
  private over: boolean
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    method: Method,
    call: ServerCall,
    callback: sendUnaryData<any> | undefined,
    open: OpenContext,
    onError: (error: unknown, context: Context) => void,
  ) {
    const { context, fields } = collectAnswerFields(open.context)
    this.method = method
    this.context = context.with(incomingCall, this)
    this.begun = false
    this.pump = undefined
    this.onEarlyEnd = undefined
    this.call = call
    this.callback = callback
    this.open = open
    this.fields = fields
    this.onError = onError
    this.ownTrailers = undefined
    this.over = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (context.deadline !== Infinity) context.scope.watch(this)
    call.on('cancelled', () => this.hungUp())
    if (call.cancelled) this.hungUp()
  }

  get metadata(): Metadata {
    return this.call.metadata
  }

  get peer(): string {
    return this.call.getPeer()
  }

  get trailers(): Metadata {
    this.ownTrailers ??= new Metadata()
    return this.ownTrailers
  }

  sendMetadata(metadata: Metadata): void {
    if (!this.over) this.call.sendMetadata(metadata)
  }

  /** Sends a stream of answers. What fails after the first of them fails the call, whatever stands around it. */
  async send(messages: unknown): Promise<readonly never[]> {
    if (!isMessages(messages)) throw new TypeError(NO_MESSAGES)
    if (this.pump !== undefined) throw new TypeError(TWICE)
    const pump = new Pump(messages, this.call as unknown as Duplex)
    this.pump = pump
    if (this.over) pump.stop()
    try {
      await pump.run()
    } catch (error) {
      if (pump.begun) this.fail(error)
      else this.pump = undefined
      throw error
    }
    return DELIVERED
  }

  /** Something around the handler has answered in its place. */
  answerInstead(messages: unknown): void {
    this.send(messages).then(
      response => this.succeed(response),
      error => this.fail(error),
    )
  }

  succeed(response: unknown): void {
    if (!this.finish()) return
    const trailers = this.withFields(this.ownTrailers)
    if (this.callback !== undefined) this.callback(null, response, trailers)
    else (this.call as unknown as { end(trailers?: Metadata): void }).end(trailers)
    this.open.close()
  }

  fail(error: unknown): void {
    if (!this.finish()) return
    const answer = statusOf(error, this.begun)
    if (this.ownTrailers !== undefined) answer.metadata.merge(this.ownTrailers)
    this.withFields(answer.metadata)
    if (this.callback !== undefined) this.callback(answer)
    else (this.call as unknown as Duplex).emit('error', answer)
    this.open.close()
    if (!isRejection(error) && !isStatus(error)) this.onError(error, this.context)
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.fail(reason)
    this.onEarlyEnd?.(reason)
  }

  /** grpc-js says "cancelled" of every call that is over, those that were answered too. */
  private hungUp(): void {
    if (!this.finish()) return
    const { scope } = this.context
    if (scope.deadline - scope.clock.now() < CLOSE_MS) scope.ring()
    else scope.end('cancelled', cancelled('grpc'))
    this.open.close()
    this.onEarlyEnd?.(scope.reason)
  }

  private finish(): boolean {
    if (this.over) return false
    this.over = true
    this.context.scope.unwatch(this)
    this.pump?.stop()
    return true
  }

  private withFields(trailers: Metadata | undefined): Metadata | undefined {
    for (const [name, value] of this.fields) {
      trailers ??= new Metadata()
      try {
        trailers.set(name, value)
      } catch {
        warn(
          'SPILLWAY_TRAILER',
          `The answer field ${name} was left out: a trailer may hold only printable ASCII`,
        )
      }
    }
    return trailers
  }
}
