import type { Writable } from 'node:stream'
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import { writeAnswerFields } from '../../core/answer-fields.ts'
import type { Context } from '../../core/context.ts'
import { cancelled, isRejection } from '../../core/rejection.ts'
import type { Ending, Watcher } from '../../core/scope.ts'
import { warn } from '../../core/warn.ts'
import type { Arrival } from './arrival.ts'
import { type IncomingCall, incomingCall, type Method, STRANGE_CONTEXT } from './method.ts'
import { isStatus, statusOf } from './status.ts'

/** What answers go to. */
export interface Connection {
  sendMetadata(metadata: Metadata): void
}

/** Sends the end of a call: what it failed with, or its response. */
export type Reply = (
  failure: StatusObject | undefined,
  response: unknown,
  trailers: Metadata | undefined,
) => void

/** Told of an error that says nothing to a caller. */
export type OnError = (error: unknown, context: Context) => void

/** This close to its deadline, a call that grpc-js ends has run out of time: its timers count whole milliseconds. */
const CLOSE_MS = 2

/**
 * One call of a server, from its arrival to its answer. The first of three events ends it: the handler's answer,
 * the deadline, or the caller, who hung up. In the second and third its context ends, and with it everything that
 * the handler started further down.
 */
export class Incoming implements IncomingCall, Watcher {
  readonly method: Method
  readonly metadata: Metadata
  readonly peer: string
  readonly context: Context
  /** Whether the handler has been reached. */
  begun: boolean
  over: boolean
  /** Where the answers of a stream go. */
  sink: Writable | undefined
  /** What sends them. */
  pump: { stop(): void } | undefined
  /** Told when the call ends before the handler does. */
  onEarlyEnd: ((reason: unknown) => void) | undefined
  private readonly connection: Connection
  private readonly reply: Reply
  private readonly onError: OnError
  private ownTrailers: Metadata | undefined
  nextWatcher: Watcher | undefined
  previousWatcher: Watcher | undefined

  constructor(
    method: Method,
    arrival: Arrival,
    arrived: Context,
    connection: Connection,
    reply: Reply,
    onError: OnError,
  ) {
    const context = writeAnswerFields(arrived, (name, value) => this.addField(name, value))
    this.method = method
    this.metadata = arrival.metadata
    this.peer = arrival.peer
    this.context = context.with(incomingCall, this)
    this.begun = false
    this.sink = undefined
    this.pump = undefined
    this.onEarlyEnd = undefined
    this.connection = connection
    this.reply = reply
    this.onError = onError
    this.ownTrailers = undefined
    this.over = false
    this.nextWatcher = undefined
    this.previousWatcher = undefined
    if (context.deadline !== Infinity) context.scope.watch(this)
  }

  get trailers(): Metadata {
    this.ownTrailers ??= new Metadata()
    return this.ownTrailers
  }

  sendMetadata(metadata: Metadata): void {
    if (!this.over) this.connection.sendMetadata(metadata)
  }

  sendBy(pump: { stop(): void }): void {
    this.pump = pump
    if (this.over) pump.stop()
  }

  succeed(response: unknown): void {
    if (!this.finish()) return
    this.reply(undefined, response, this.ownTrailers)
    this.context.scope.close()
  }

  fail(error: unknown): void {
    if (!this.finish()) return
    const status = statusOf(error, this.begun)
    if (this.ownTrailers !== undefined) status.metadata.merge(this.ownTrailers)
    this.reply(status, undefined, undefined)
    this.context.scope.close()
    if (!isRejection(error) && !isStatus(error)) this.onError(error, this.context)
  }

  /** Somebody else sends the end of the call; what belongs to it is added. False if the call is over already. */
  leave(status: StatusObject): boolean {
    if (!this.finish()) return false
    if (this.ownTrailers !== undefined) status.metadata.merge(this.ownTrailers)
    this.context.scope.close()
    return true
  }

  /** The caller is gone; or the call is over anyway, for grpc-js says "cancelled" of every call in the end. */
  hungUp(): void {
    if (!this.finish()) return
    const { scope } = this.context
    if (scope.deadline - scope.clock.now() < CLOSE_MS) scope.ring()
    else scope.end('cancelled', cancelled('grpc'))
    scope.close()
    this.onEarlyEnd?.(scope.reason)
  }

  scopeEnded(_ending: Ending, reason: unknown): void {
    this.fail(reason)
    this.onEarlyEnd?.(reason)
  }

  private finish(): boolean {
    if (this.over) return false
    this.over = true
    this.context.scope.unwatch(this)
    this.pump?.stop()
    return true
  }

  /** A part of the chain has something to say about the answer: `value` is all of it so far. */
  private addField(name: string, value: string): void {
    if (this.over) return
    try {
      this.trailers.set(name, value.replaceAll(/[^ -~]/g, '?'))
    } catch {
      warn('SPILLWAY_TRAILER', `The answer field ${name} was left out: that is no name for a trailer`)
    }
  }
}

/** The incoming call that a handler is reached with. */
export function reached(context: Context): Incoming {
  const incoming = context.get(incomingCall)
  if (!(incoming instanceof Incoming)) throw new TypeError(STRANGE_CONTEXT)
  incoming.begun = true
  return incoming
}
