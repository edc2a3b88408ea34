import { AsyncResource } from 'node:async_hooks'
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  status,
} from '@grpc/grpc-js'
import { systemClock } from '../../core/clock.ts'
import type { Refusal, Result, ShedCall, ShedTask } from '../../shedding/index.ts'
import type { ShedEntry } from '../wire/shed-entry.ts'
import { textOf } from './arrival.ts'
import { leftUntil } from './grpc-deadline.ts'
import type { Method } from './method.ts'
import type { ArrivingCall } from './shed-interceptor.ts'
import { type ShedStatuses, withPressure } from './shed-statuses.ts'

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]
type Status = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]

/** This close to its deadline, a call that is cancelled has run out of time. */
const CLOSE_MS = 2

/** Codes that say that a call was lost to overload further in. */
const lost: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
])

/**
 * A call between the wire and the other interceptors, and what the wire tells of it. A class of grpc-js's own in
 * place of the functions that it would call: those cost several times as much.
 */
export class SheddableCall extends ServerInterceptingCall implements Listener, ShedTask, ArrivingCall {
  readonly method: Method
  /** Whether the shedder has said what becomes of it. */
  told: boolean
  gone: boolean
  private readonly entry: ShedEntry<ArrivingCall>
  private readonly statuses: ShedStatuses
  private readonly below: ServerInterceptingCallInterface
  private received: Metadata | undefined
  private listener: Listener | undefined
  private begun: boolean
  private call: ShedCall | undefined
  private pressure: string | undefined
  /** What belongs to the call, a trace above all, and must not get lost in the queue. */
  private resource: AsyncResource | undefined

  constructor(
    entry: ShedEntry<ArrivingCall>,
    statuses: ShedStatuses,
    method: Method,
    below: ServerInterceptingCallInterface,
  ) {
    super(below)
    this.entry = entry
    this.statuses = statuses
    this.method = method
    this.below = below
    this.told = false
    this.gone = false
    this.received = undefined
    this.listener = undefined
    this.begun = false
    this.call = undefined
    this.pressure = undefined
    this.resource = undefined
  }

  get metadata(): Metadata {
    return this.received!
  }

  get peer(): string {
    return this.below.getPeer()
  }

  override start(listener: Listener): void {
    this.listener = listener
    this.below.start(this)
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.received = metadata
    const { entry } = this
    const left = leftUntil(this.below.getDeadline())
    const call = entry.callFor(this, name => textOf(metadata, name), left, this)
    if (call === undefined || !entry.submit(call, this)) this.begin()
    else if (!this.told) this.resource = new AsyncResource('SpillwayCall')
  }

  onReceiveMessage(message: unknown): void {
    this.listener!.onReceiveMessage(message)
  }

  onReceiveHalfClose(): void {
    this.listener!.onReceiveHalfClose()
  }

  onCancel(): void {
    this.gone = true
    const { call } = this
    if (call?.counts === true) {
      const now = systemClock.now()
      this.settle(call.deadline - now < CLOSE_MS ? 'dropped' : 'ignore', now)
    }
    // Those further in have never heard of a call that has not begun.
    if (this.begun) this.listener!.onCancel()
  }

  run(call: ShedCall): void {
    this.told = true
    this.call = call
    this.pressure = this.entry.pressureFor(call)
    if (this.resource === undefined) this.begin()
    else this.resource.runInAsyncScope(this.begin, this)
  }

  refuse(call: ShedCall, refusal: Refusal): void {
    this.told = true
    if (refusal === 'gone') return
    this.below.sendStatus(this.statuses.of(refusal, call.again, this.entry.pressureAt(systemClock.now())))
  }

  override sendMetadata(metadata: Metadata): void {
    this.below.sendMetadata(metadata)
    this.settle('success')
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.below.sendMessage(message, callback)
    this.settle('success')
  }

  override sendStatus(given: Status): void {
    this.below.sendStatus(withPressure(given as { metadata?: Metadata }, this.pressure) as Status)
    this.settle(given.code === status.OK ? 'success' : lost.has(given.code) ? 'dropped' : 'ignore')
  }

  private begin(): void {
    this.begun = true
    this.listener!.onReceiveMetadata(this.received!)
  }

  /** The head of the answer has been sent, or never will be. */
  private settle(result: Result, now: number = 0): void {
    const { call } = this
    if (call?.counts !== true) return
    try {
      call.shedder!.settle(call, result, now === 0 ? systemClock.now() : now)
    } catch (error) {
      this.entry.broken(error)
    }
  }
}
